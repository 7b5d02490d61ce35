"""The manual: Markdown pages that travel in the package, for the terminal and for whoever serves them.

`TOPICS` names them in the order in which one would read them. `commands`, `columns` and the parts between
`<!-- generated: ... -->` and `<!-- end -->` are written by `python -m tests.manual`.
"""

import re
from importlib import resources

TOPICS = (
    "index",
    "operate",
    "trust",
    "alerts",
    "web",
    "data",
    "recipes",
    "formats",
    "python",
    "commands",
    "columns",
    "internals",
    "benchmarks",
)

_COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)


def read(topic: str) -> str:
    """The Markdown of one page, without comments. Raises KeyError for a page that does not exist."""
    if topic not in TOPICS:
        raise KeyError(topic)
    return _COMMENT.sub("", resources.files(__name__).joinpath(f"{topic}.md").read_text("utf-8"))


def title(topic: str) -> str:
    """The heading of a page."""
    return read(topic).partition("\n")[0].removeprefix("# ")
