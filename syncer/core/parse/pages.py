"""Where the next page of a list is: one response in, one address out, nothing fetched.

- A page is asked for from the same origin only.
- A list is whole when its own words say so: no cursor, no link, an empty page, or as many elements as it has in all.
  Words that cannot be understood are no end of it.
"""

from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from syncer.core.formats import CompiledFormat, Pages, Path
from syncer.core.parse import scan, words
from syncer.core.parse.envelope import Body, page_count, take_apart, text_of, total_hint
from syncer.core.parse.scan import Bytes
from syncer.errors import BadResponse


class NextPage(msgspec.Struct, frozen=True):
    """The address of the next page, and its number: 2 after the first."""

    url: str
    number: int


def next_page(fmt: CompiledFormat, body: Bytes, url: str, number: int) -> NextPage | None:
    """The page after this one, which came from `url` as the `number`th; None after the last one.

    Raises BadResponse where the body is no catalog or the next page is at another origin. That an address comes
    again is for the caller to notice.
    """
    pages = fmt.pages
    if pages is None or pages.whole:
        return None
    page = take_apart(body, fmt)
    if pages.next:
        following = _by_link(pages, body, url)
    elif pages.cursor:
        following = _by_cursor(pages, body, url)
    else:
        following = _by_count(pages, page, url, number)
    return None if following is None else NextPage(following, number + 1)


def _by_link(pages: Pages, body: Bytes, url: str) -> str | None:
    link = _pointer(body, pages.next)
    if link is None:
        return None
    following = urljoin(url, link)
    if urlsplit(following)[:2] != urlsplit(url)[:2]:
        raise BadResponse(f"the next page is at another origin ({words.short(following)})")
    return following


def _by_cursor(pages: Pages, body: Bytes, url: str) -> str | None:
    if pages.more and not _goes_on(body, pages.more):
        return None
    cursor = _pointer(body, pages.cursor)
    if cursor is not None:
        return _with(url, pages.parameter, cursor)
    if pages.more:
        raise BadResponse(f"the list goes on, but there is no cursor at {'.'.join(pages.cursor)}")
    return None


def _goes_on(body: Bytes, path: Path) -> bool:
    """Whether a page says that there are more; what is neither yes nor no is no end of the list (law 3)."""
    said = scan.find(body, path)
    if said not in {None, b"null", b"true", b"false"}:
        raise BadResponse(f"{'.'.join(path)} is neither true nor false: nobody can say whether the list goes on")
    return said == b"true"


def _pointer(body: Bytes, path: Path) -> str | None:
    """The cursor or link at a path, of an object its href or url; None where there is none.

    Raises BadResponse for anything else, which would be mistaken for the end of the list.
    """
    found = scan.find(body, path)
    if found is not None and found[:1] == b"{":
        found = scan.find(found, ("href",)) or scan.find(found, ("url",))
    if found in {None, b"null", b"false"}:
        return None
    pointer = text_of(found)
    if pointer is None:
        raise BadResponse(f"{'.'.join(path)} cannot be followed to the next page")
    return pointer.strip() or None


def _by_count(pages: Pages, page: Body, url: str, number: int) -> str | None:
    """By offset or page number; without a total, the last page is the one that is empty, or shorter than `size`."""
    if page.sent == 0:
        return None
    total = total_hint(page.hints)
    if pages.numbered:
        last = page_count(page.hints)
        return None if last is not None and number >= last else _with(url, pages.parameter, str(pages.start + number))
    seen = _offset(url, pages.parameter) + page.sent
    if seen >= total if total is not None else page.sent < pages.size:
        return None
    return _with(url, pages.parameter, str(seen))


def _offset(url: str, parameter: str) -> int:
    value = dict(parse_qsl(urlsplit(url).query)).get(parameter, "0")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0


def _with(url: str, parameter: str, value: str) -> str:
    """The address with this parameter in its query, in place of an earlier one."""
    parts = urlsplit(url)
    query = [(key, held) for key, held in parse_qsl(parts.query, keep_blank_values=True) if key != parameter]
    return urlunsplit(parts._replace(query=urlencode([*query, (parameter, value)])))
