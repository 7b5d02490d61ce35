"""How a setting is shown in a message: bounded, with the nearest right name, and never a secret (law 11)."""

import re
from collections.abc import Iterable

MASK = "***"


def quoted(value: object) -> str:
    """A value as a person wrote it, short enough for a message."""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that refuses `word`: the nearest right one, or nothing but the full stop."""
    from difflib import get_close_matches

    near = get_close_matches(word, tuple(known), n=1, cutoff=0.5)
    return f". Did you mean {near[0]!r}?" if near else "."


def mask_url(url: str) -> str:
    """A URL without its password and its query. In doubt it masks too much, for a password may hold any sign."""
    scheme, found, rest = url.partition("://")
    if not found:
        return MASK
    user, at, place = rest.rpartition("@")
    if "?" in user:  # a password with a ? in it, or a query with an @: who knows where a secret begins
        return f"{scheme}://{MASK}"
    # A URL that goes on with "/" (sqlite:///C:/a@b.db) has neither user nor host.
    if ":" in user and not rest.startswith("/"):
        user = f"{user.partition(':')[0]}:{MASK}"
    place = re.sub(r"\?.+", f"?{MASK}", place)
    return f"{scheme}://{user}{at}{place}"
