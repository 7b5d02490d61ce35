"""One message to one Apprise URL, run as a program of its own by `chat`; it knows nothing of syncer.

stdin: a JSON object with url, title, text, markdown, and as_is (true: not to be converted to what the service takes).
Exit 0: delivered; 1: refused; 2: no URL of Apprise; stderr says why. A process can be killed at the deadline and
limited in memory, which a library that reads whole answers into it cannot; and the URL stands on no command line
(law 11).
"""

import json
import logging
import resource
import sys
from contextlib import suppress

_MEMORY = 512 * 1024 * 1024


def main() -> int:
    """Read, send, say how it went by the exit code."""
    with suppress(ValueError, OSError):  # it is limited to less already, or cannot be here
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    import apprise

    given = json.load(sys.stdin)
    # A redirect is never followed: what it points to was not configured.
    target = apprise.Apprise.instantiate(given["url"], asset=apprise.AppriseAsset(http_redirects=False))
    if target is None:
        return 2
    if "overflow=" not in given["url"]:
        target.overflow_mode = apprise.OverflowMode.TRUNCATE  # rather a short message than a refused one
    service = apprise.Apprise()
    service.add(target)
    taken = target.resolve_format()
    is_plain = taken == apprise.NotifyFormat.TEXT
    written = apprise.NotifyFormat.TEXT if is_plain else apprise.NotifyFormat.MARKDOWN
    result = service.notify(
        title=given["title"],
        body=given["text" if is_plain else "markdown"],
        body_format=taken if given["as_is"] else written,
    )
    return 0 if result else 1


if __name__ == "__main__":
    sys.exit(main())
