"""`syncer manual`: the pages of the manual, in the terminal."""

import re
import sys

import click

from syncer import manual
from syncer.cli.output import print_line, print_rows
from syncer.errors import UsageError

_WIDEST = 100  # columns: longer lines are hard to read
_IMAGE = re.compile(r"^!\[[^\]]+\]\([^)]*\)\n\n", re.MULTILINE)  # no terminal shows it
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([a-z./]+)?[^)]*\)")


@click.command("manual")
@click.argument("topic", required=False, default="index")
@click.option("--list", "only_list", is_flag=True, help="Name the pages.")
def manual_command(topic: str, *, only_list: bool) -> None:
    """Show a page of the manual: rendered and paged in a terminal, as Markdown in a pipe.

    \b
    Examples:
      syncer manual
      syncer manual operate
      syncer manual recipes | grep -A12 'cheapest'
    """
    if only_list:
        rows = [(name, manual.title(name)) for name in manual.TOPICS]
        print_rows(("topic", "title"), rows, format="table", out=sys.stdout)
        return
    text = _read(topic.removesuffix(".md"))
    if sys.stdout.isatty():
        click.echo_via_pager(_rendered(text))
    else:
        print_line(text.rstrip("\n"), out=sys.stdout)


def _read(topic: str) -> str:
    from difflib import get_close_matches

    try:
        return manual.read(topic)
    except KeyError:
        near = get_close_matches(topic, manual.TOPICS, n=1, cutoff=0.6)
        hint = f"Did you mean {near[0]!r}?" if near else f"Pages: {', '.join(manual.TOPICS)}."
        raise UsageError(f"The manual has no page {topic!r}. {hint}") from None


def _rendered(text: str) -> str:
    """Markdown as text for this terminal, with its colours."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=sys.stdout)
    console.width = min(console.width, _WIDEST)
    with console.capture() as drawn:
        # "bw" is legible on dark and on light; a terminal's link needs an address, and ours are pages.
        console.print(Markdown(_for_terminal(text, console.width - 2), code_theme="bw", hyperlinks=False))
    return drawn.get()


def _for_terminal(text: str, width: int) -> str:
    """The page without what no terminal shows; in code, a comment that would be wrapped stands above its line."""
    lines, in_code = [], False
    for line in _LINK.sub(_named, _IMAGE.sub("", text)).splitlines():
        in_code ^= line.startswith("```")
        code, found, comment = line.partition("  # ") if in_code and len(line) > width else (line, "", "")
        lines += [f"# {comment}", code.rstrip()] if found else [line]
    return "\n".join(lines)


def _named(link: re.Match[str]) -> str:
    """A link to another page as words: its text, and the page where the text does not name it."""
    words, page = link[1], (link[2] or "").rpartition("/")[2].removesuffix(".md")
    return words if page in words else f"{words} (see {page})"
