"""Envelopes: lists, maps, pages, and what says that a list is not whole."""

import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from syncer.core import formats, parse
from syncer.core.formats import CompiledFormat
from syncer.core.model import Snapshot
from syncer.core.parse import envelope, scan
from syncer.errors import BadResponse, ListMoved

AT = datetime(2026, 1, 1, tzinfo=UTC)


def fmt(**changes: Any) -> CompiledFormat:
    """A small format of a list at `data`."""
    return formats.compile({"models": "data", "name": "id", **changes}, "acme", "syncer.toml")


MAP = fmt(models="*", name="{$1}")
MAPS = fmt(models="*.models.*", name="{$1}/{$2}")


def read(body: bytes | list[bytes], how: CompiledFormat | None = None, **more: Any) -> Snapshot:
    """What a response says."""
    return parse.snapshot(body, how or fmt(), observed_at=AT, **more)


@pytest.mark.parametrize(
    ("envelope", "key"),
    [
        (b'"has_more":true', "has_more"),
        (b'"next":"https://x"', "next"),
        (b'"next_cursor":7', "next_cursor"),
        (b'"links":{"next":{"href":"x"}}', "links.next"),
        (b'"meta":{"total":"3"}', "meta.total"),
        (b'"total_count":3', "total_count"),
        (b'"pagination":{"total_pages":2}', "pagination.total_pages"),
        (b'"@odata.nextLink":"x"', "@odata.nextLink"),
        (b'"has_more":"true"', None),
        (b'"has_more":false,"next":null,"next_cursor":"","total":2,"count":1,"totalPages":1,"limit":1', None),
        (b'"next":0,"links":{"next":{"href":" "}},"object":"list","first_id":"a","last_id":"b","size":9', None),
    ],
)
def test_what_says_that_the_list_is_not_whole(envelope: bytes, key: str | None) -> None:
    """The envelope's own words are heard, by the fast reader and by the patient one; `pages = "whole"` denies them."""
    body = b'{"data":[{"id":"a"},{"id":"b"}],' + envelope + b"}"
    odd = body.replace(b'{"id":"b"}', b'{"id":"b","x":NaN}')
    assert read(body).partial == read(odd).partial == key
    assert read(body, fmt(pages="whole")).partial is None
    assert read(body, http_partial="Link").partial == (key or "Link")


def test_hints_within_elements_and_maps_are_none() -> None:
    """An element's own links, and a model called `next`, say nothing about the list."""
    assert read(b'{"data":[{"id":"a","links":{"next":"x"},"has_more":true}]}').partial is None
    assert read(b'{"next":{"x":1},"total":{}}', MAP).listings.keys() == {"next", "total"}


def test_a_key_held_twice_is_two_elements() -> None:
    """A map that holds a key twice lists that model twice: the smaller one counts, and the other is recorded."""
    snapshot = read(
        b'{"a": {"x":2}, "b" : {"x":[1]},\n"a":{"description":"d"}}',
        fmt(models="*", name="{$1}", fields={"description": "description"}),
    )
    assert snapshot.listings.keys() == {"a", "b"}
    assert [row.name for row in snapshot.duplicates] == ["a"]
    assert snapshot.elements == 3


def test_what_is_no_object_in_a_map() -> None:
    """A member that is no object is no element, unless it is called as a known model."""
    snapshot = read(b'{"a":{},"version":3,"b":7}', MAP, known={b"d": "b"})
    assert (set(snapshot.listings), [row.name for row in snapshot.rejected]) == ({"a"}, ["b"])
    assert not snapshot.nameless
    assert snapshot.present_unreadable == {"b"}


@pytest.mark.parametrize("part", [b'"q":"down"', b'"q":null', b'"q":{"models":[]}', b'"q":{"models":null}'])
def test_a_part_of_a_map_that_cannot_be_entered(part: bytes) -> None:
    """It may hold each known model under its key (law 3); under any other key it is nothing of ours."""
    body = b'{"p":{"models":{"a":{}}},' + part + b"}"
    assert read(body, MAPS, known={b"d": "q/x"}).nameless
    assert not read(body, MAPS, known={b"d": "qq/x"}).nameless


def test_a_map_of_elements_that_are_several_models() -> None:
    """Keys and split go together, and what is kept of each can be read again."""
    how = fmt(models="*", split="by", name="{$1}:{id}")
    snapshot = read(b'{"m":{"by":[{"id":"a"},{"id":"b"}]},"n":{"by":[]},"o":{}}', how)
    assert (set(snapshot.listings), snapshot.nameless) == ({"m:a", "m:b"}, ())
    assert [parse.element(row.raw, how).name for row in snapshot.listings.values()] == ["m:a", "m:b"]


def test_a_map_has_a_limit_like_a_list() -> None:
    """However short its members are."""
    with pytest.raises(BadResponse, match="more than 150,000 elements"):
        read(b"{" + b",".join(b'"%d":{}' % number for number in range(250_001)) + b"}", MAP)


def test_an_element_of_a_map_keeps_its_keys() -> None:
    """What is kept of an element of maps is JSON with its keys, so that its name can be read again."""
    row = read(b'{"p":{"x":1,"models":{"\\u00e9":{"y":[1, 2]}}}}', MAPS).listings["p/\u00e9"]
    assert bytes(row.raw).decode() == '{"p":{"\u00e9":{"y":[1, 2]}}}'
    assert parse.element(row.raw, MAPS) == row


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"message":"Incorrect API key"}}', b'{"detail":"Not authenticated"}', b'{"a":[{"errors":["no"]}]}'],
)
def test_the_reason_in_a_200_is_told(body: bytes) -> None:
    """What upstream says is wrong stands in the error, wherever in the body it says so."""
    for how in (fmt(), formats.builtin("serverless")):
        with pytest.raises(BadResponse, match=r"it says: '(Incorrect API key|Not authenticated|no)'; it begins with"):
            read(body, how)


def test_many_nameless_rows_fail_early() -> None:
    """More than a thousand elements without a name, and more than half, are no catalog; fewer are odd rows."""
    named = b",".join(b'{"id":"m%d"}' % number for number in range(2_000))
    assert len(read(b'{"data":[' + named + b",0" * 1_500 + b"]}").rejected) == 1_500
    with pytest.raises(BadResponse, match="more than half of the 5,000 listed models have no legible name"):
        read(b'{"data":[' + named + b",0" * 3_000 + b"]}")
    with pytest.raises(BadResponse, match="more than 150,000 elements"):
        read(b'{"data":[' + b"0," * 3_000_000 + b"0]}")


def test_a_larger_body_may_list_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has raised `max_body` has a larger catalog: one element for each 300 bytes is no abuse, in pages too."""
    monkeypatch.setattr(envelope, "MAX_ELEMENTS", 10)
    monkeypatch.setattr(envelope, "LARGE_BODY", 2_000)
    element = b'{"id":"m%d","description":"' + b"x" * 320 + b'"}'
    pages = [
        b'{"data":[' + b",".join(element % number for number in range(first, first + 8)) + b"]}" for first in (0, 8)
    ]
    assert len(read(pages).listings) == 16
    with pytest.raises(BadResponse, match="more than 10 elements"):
        read([page.replace(b"x" * 320, b"") for page in pages])


def test_many_maps_without_an_element_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12: millions of providers of nothing list no element, and would take minutes to go through."""
    monkeypatch.setattr(envelope, "MAX_ELEMENTS", 10)
    commas = "," * 500_000  # few of them prove that there is little to count
    providers = ",".join(f'"{number}":{{"models":{{}}}}' for number in range(11))
    with pytest.raises(BadResponse, match="more than 10 elements"):
        read(f'{{{providers},"x":"{commas}"}}'.encode(), MAPS)


# -- pages -------------------------------------------------------------------------------------------------------------

URL = "https://x.example/v1/models?limit=2"


@pytest.mark.parametrize(
    ("pages", "envelope", "url", "following"),
    [
        (
            {"cursor": "last", "parameter": "after", "more": "more"},
            b'"more":true,"last":"a b"',
            URL,
            URL + "&after=a+b",
        ),
        ({"cursor": "last", "parameter": "after", "more": "more"}, b'"more":false,"last":"b"', URL, None),
        ({"cursor": "n", "parameter": "p"}, b'"n":"t"', URL + "&p=s", URL + "&p=t"),
        ({"cursor": "n", "parameter": "p"}, b'"n":""', URL, None),
        ({"next": "links.next"}, b'"links":{"next":"/v1/models?page=2"}', URL, "https://x.example/v1/models?page=2"),
        ({"next": "links.next"}, b'"links":{"next":null}', URL, None),
        ({"next": "links.next"}, b'"links":{"next":{"href":"?page=2"}}', URL, "https://x.example/v1/models?page=2"),
        ({"next": "links.next"}, b'"links":{"next":{"href":null}}', URL, None),
        ({"offset": "skip", "size": 2}, b'"x":1', URL + "&skip=4", URL + "&skip=6"),
        ({"offset": "skip", "size": 3}, b'"x":1', URL, None),
        ({"offset": "skip", "size": 3}, b'"total":5', URL, URL + "&skip=2"),
        ({"offset": "skip", "size": 2}, b'"total":2', URL, None),
        ({"page": "page", "first": 1}, b'"x":1', URL, URL + "&page=2"),
        ({"page": "page", "first": 0}, b'"total_pages":1', URL, None),
    ],
)
def test_where_the_next_page_is(pages: dict[str, Any], envelope: bytes, url: str, following: str | None) -> None:
    """The address of the next page comes from the page alone, and the last page says that it is the last."""
    found = parse.next_page(fmt(pages=pages), b'{"data":[{"id":"a"},{"id":"b"}],' + envelope + b"}", url, 1)
    assert (found and (found.url, found.number)) == (following and (following, 2))


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        (b'"more":"true","last":"b"', "more is neither true nor false"),
        (b'"more":1,"last":"b"', "more is neither true nor false"),
        (b'"more":true', "there is no cursor at last"),
        (b'"more":true,"last":["b"]', "last cannot be followed"),
        (b'"more":true,"last":"' + b"x" * 70_000 + b'"', "last cannot be followed"),
    ],
)
def test_what_cannot_be_understood_is_no_end_of_a_list(envelope: bytes, said: str) -> None:
    """The first page is never taken for the whole list (law 3)."""
    how = fmt(pages={"cursor": "last", "parameter": "after", "more": "more"})
    with pytest.raises(BadResponse, match=said):
        parse.next_page(how, b'{"data":[{"id":"a"}],' + envelope + b"}", URL, 1)


def test_a_page_of_another_origin_is_refused() -> None:
    """A link to another host, port or scheme is never followed."""
    for link in (b"https://y.example/v1", b"http://x.example/v1", b"//x.example:8443/v1"):
        with pytest.raises(BadResponse, match="another origin"):
            parse.next_page(fmt(pages={"next": "n"}), b'{"data":[],"n":"' + link + b'"}', URL, 1)


def test_the_pages_of_one_list_are_one_snapshot() -> None:
    """Pages are one list: a name on two of them, or a total that moved, means that it changed under us."""
    how = fmt(pages={"cursor": "n", "parameter": "p"})
    first, second = b'{"data":[{"id":"a"}],"n":"x","total":2}', b'{"data":[{"id":"b"}],"n":null,"total":2}'
    whole = read([first, second], how)
    assert (set(whole.listings), whole.partial, whole.elements) == ({"a", "b"}, None, 2)
    assert read([first, second.replace(b'"total":2', b'"x":2')], how).partial is None
    assert read([first.replace(b":2", b":9"), second.replace(b":2", b":9")], how).partial == "a total of 9"
    for wrong in (second.replace(b'"b"', b'"a"'), second.replace(b":2", b":3")):
        with pytest.raises(ListMoved):
            read([first, wrong], how)


def test_an_odd_body_is_not_held_as_one_text() -> None:
    """Law 12: one smiley makes every character of a text take four bytes; what is odd is looked at piece by piece."""
    odd = b'"\\ud800 \xed\xa0\x80 \xf0\x9f\x98\x80"' + b" " * 1_000_000
    tracemalloc.start()
    try:
        assert scan.utf8(odd) == odd
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(odd)


def test_a_list_that_multiplies_its_element_is_refused() -> None:
    """Law 12: a long element that is hundreds of models would be held as many times."""
    providers = ",".join(f'{{"provider":"p{number}"}}' for number in range(300))
    element = f'{{"id":"m","x":"{"x" * 250_000}","providers":[{providers}]}}'
    with pytest.raises(BadResponse, match="take more than 67,108,864 bytes together"):
        parse.snapshot(f'{{"data":[{element}]}}'.encode(), formats.builtin("huggingface"), observed_at=AT)
