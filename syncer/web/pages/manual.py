"""The manual, as it travels in the package."""

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from syncer.manual import TOPICS, read, title
from syncer.web.pages.page import Page
from syncer.web.site import Visit

if TYPE_CHECKING:
    from markdown_it.token import Token

_ELSEWHERE = re.compile(r"^[a-z]+:|^//")


def manual(visit: Visit) -> Page:
    """`/manual`"""
    return manual_page(TOPICS[0])(visit)


def manual_page(topic: str) -> Callable[[Visit], Page]:
    """`/manual/TOPIC`"""

    def page(_: Visit) -> Page:
        return Page(
            template="manual.html",
            title=title(topic),
            section="manual",
            context={"topics": [(one, title(one)) for one in TOPICS], "topic": topic, "body": _html(topic)},
            command="syncer manual" if topic == TOPICS[0] else f"syncer manual {topic}",
        )

    return page


@cache
def _html(topic: str) -> Markup:
    """A page as HTML. The text is our own, and HTML in it is not passed through all the same."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(read(topic))
    slugs: set[str] = set()
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _slug(tokens[number + 1].content, slugs))
        if token.type in {"fence", "code_block"}:
            token.attrSet("tabindex", "0")
        for child in token.children or ():
            _turn(child)
            if child.type == "image":
                child.attrSet("src", f"/manual/{child.attrGet('src')}")
    rendered = markdown.renderer.render(tokens, markdown.options, {})
    rendered = rendered.replace('<pre><code tabindex="0"', '<pre tabindex="0"><code')
    rendered = rendered.replace("<th></th>", "<td></td>")  # a head without a word is none
    rendered = rendered.replace("<table>", '<div class="wrap" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    return Markup(re.sub(r' style="text-align:(left|right|center)"', r' class="\1"', rendered))  # noqa: S704 - see above


def _turn(token: "Token") -> None:
    """A link to another page of the manual, as it is served."""
    href = str(token.attrGet("href") or "")
    if token.type != "link_open":
        return
    if _ELSEWHERE.match(href):
        token.attrSet("rel", "noreferrer")
        return
    page, _, anchor = href.partition("#")
    if page.endswith(".md"):
        token.attrSet("href", f"/manual/{page.removesuffix('.md')}{f'#{anchor}' if anchor else ''}")


def _slug(heading: str, taken: set[str]) -> str:
    """The anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    slug = next(one for one in (plain, *(f"{plain}-{n}" for n in range(1, 1000))) if one not in taken)
    taken.add(slug)
    return slug
