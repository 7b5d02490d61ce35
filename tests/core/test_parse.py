"""parse, by the default format: names, fields, prices and envelopes, and hostile text (laws 3, 4 and 12)."""

import json
import time
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.core import formats, parse
from syncer.core.model import PRICES, Listing, Snapshot
from syncer.core.parse import words
from syncer.errors import BadResponse
from syncer.poll import body_digest
from tests.core.strategies import CATALOGS, body, element

AT = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = '{"model_name": "good"}'
SERVERLESS = formats.builtin("serverless")


def parsed(raw: bytes, known: Mapping[bytes, str] | None = None, **more: Any) -> Snapshot:
    """What a response says in the default format."""
    return parse.snapshot(raw, SERVERLESS, observed_at=AT, known=known, **more)


def read(*elements: str, known: Mapping[bytes, str] | None = None) -> Snapshot:
    """What a response with these elements says."""
    return parsed(body(elements), known)


def one(text: str) -> Listing:
    """The single listing of a response with one element."""
    (row,) = read(text).listings.values()
    return row


def refused(text: str) -> tuple[str | None, str]:
    """Name and reason of an element that is rejected beside a good one, which is not its victim."""
    snapshot = read(GOOD, text)
    assert set(snapshot.listings) == {"good"}
    (row,) = snapshot.rejected
    return row.name, row.reason


def unread(text: str) -> tuple[set[str], str]:
    """What of an element that is listed cannot be read, and the reason; its neighbour is not its victim."""
    snapshot = read(GOOD, text)
    assert set(snapshot.listings) == {"good", "m"}
    assert snapshot.rejected == ()
    (row,) = snapshot.unreadable
    assert row.name == "m"
    return set(snapshot.listings["m"].unread), row.reason


def model(**fields: Any) -> str:
    """An element named m; values of type bytes are raw JSON."""
    parts = [
        f"{json.dumps(key)}: {value.decode() if isinstance(value, bytes) else json.dumps(value)}"
        for key, value in {"model_name": "m", **fields}.items()
    ]
    return "{" + ", ".join(parts) + "}"


# -- the documented element --------------------------------------------------------------------------------------------


def test_the_documented_element() -> None:
    """Each documented field is read under its own name, the rest is kept as extra, and the raw element is as sent."""
    text = (
        '{ "model_name":"a/B", "model_alias":"B", "model_type":"Text", "context_length":"131072",'
        ' "max_completion_tokens":null, "description":"d", "price":0.20, "huggingface_url":"https://x", "o":[1.50] }'
    )
    row = one(text)
    assert (row.name, row.alias, row.type, row.context_length) == ("a/B", "B", "Text", 131072)
    assert (row.max_completion_tokens, row.description, row.price) == (None, "d", Decimal("0.2"))
    assert (row.huggingface_url, bytes(row.extra)) == ("https://x", b'{"o":[1.50]}')
    assert bytes(row.raw).decode() == text
    assert row.stated == {"alias", "type", "context_length", "description", "huggingface_url", "prices.price"}
    assert row.prices == {"price": Decimal("0.2")}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"131072", 131072),
        (b'"131072"', 131072),
        (b'" 131072 "', 131072),
        (b"131072.0", 131072),
        (b"1.31072e5", 131072),
        (b'"1e3"', 1000),
        (b"0", 0),
        (b"-0", 0),
        (b"0e999999999", 0),
        (b"9223372036854775807", 2**63 - 1),
        (b"null", None),
        (b'""', None),
    ],
)
def test_context_length_is_a_count_however_it_is_written(sent: bytes, kept: int | None) -> None:
    """An integer, a numeric string, an integral float and null are accepted as context_length."""
    assert one(model(context_length=sent)).context_length == kept


def test_a_missing_field_is_not_stated() -> None:
    """Missing and null are both unknown, and neither is stated; the headline is a key of the prices all the same."""
    assert one(model()).stated == frozenset()
    assert one(model(price=None)).stated == frozenset()
    assert one(model(price=None)).prices == {"price": None}


@pytest.mark.parametrize("description", [None, b"1"])
def test_what_is_read_as_nothing_is_not_stated(description: bytes | None) -> None:
    """An empty text for a number, or an empty list, says no more than null: else a lost field would be news."""
    sent = model(context_length=b'""', model_type=b"[]", description=description)
    assert one(sent).stated == (frozenset() if description is None else {"description"})


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"true", "is a boolean, not a number"),
        (b"131072.5", "is a fraction"),
        (b"0.5", "is a fraction"),
        (b"1e-9999", "is a fraction"),
        (b"-1", "is negative"),
        (b'"many"', "is text that is not a JSON number"),
        (b"[1]", "is a list, not a number"),
        (b"9223372036854775808", "is out of range"),
        (b"1" + b"0" * 30, "is out of range"),
        (b"1e400", "is out of range"),
        (b'"1e999999999"', "is out of range"),
    ],
)
def test_what_is_no_count_costs_its_field(sent: bytes, why: str) -> None:
    """Booleans, fractions, negatives, words and 10^30 tokens cost their field; the price beside it counts."""
    row = model(context_length=sent, price=2)
    fields, reason = unread(row)
    assert fields == {"context_length"}
    assert f"has a context_length that {why}" in reason
    listing = one(row)
    assert (listing.context_length, listing.price) == (None, Decimal(2))
    assert listing.stated == {"context_length", "prices.price"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"0.20", "0.2"),
        (b'"0.20"', "0.2"),
        (b"1.00000000000000015", "1"),
        (b"0.30000000000000004", "0.3"),
        (b"-1", "-1"),
        (b"-0.0", "0"),
        (b"123456789.123456789", "123456789.123457"),
        (b"null", None),
    ],
)
def test_a_price_is_exact(sent: bytes, kept: str | None) -> None:
    """Law 4: a price is decimal from its first byte; unknown, 0 and negative are three things."""
    assert one(model(price=sent)).price == (None if kept is None else Decimal(kept))


@pytest.mark.parametrize(
    "sent", [b"1e400", b"1e15", b"1e-40", b'""', b'"free"', b'"NaN"', b"true", b"{}", b"1e99999999999999999999"]
)
def test_what_is_no_price_costs_the_prices(sent: bytes) -> None:
    """Law 4: what is beyond range, would round to 0 or is no JSON number is no price; the other fields count."""
    row = model(price=sent, model_type="Text")
    assert unread(row)[0] == {"prices"}
    assert (one(row).type, one(row).prices) == ("Text", {"price": None})


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_literal_that_only_python_takes_costs_its_field_alone(literal: bytes) -> None:
    """A NaN in one price, which the json module would take, costs that price only."""
    fields, reason = unread(model(price=literal, model_type="Text"))
    assert fields == {"prices"}
    assert literal.decode() in reason


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a/B-c_d.1",
        "Model",
        "ein zwei",
        "\u00e9",
        "e\u0301",
        "\u6a21\u578b",
        "\U0001f999",
        "=HYPERLINK(1)",
        "<script>",
        "'; DROP TABLE models;--",
        "abc\u202edef",
        "zero\u200bwidth",
        "n" * 255,
    ],
)
def test_a_name_is_kept_as_sent(name: str) -> None:
    """Law 12: whatever can be seen is a name, bytewise: no folding, no normalising, no trimming, bidi included."""
    assert one(model(model_name=name)).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u3000",
        "\u200b\u202e",
        "a\0b",
        "a\x1b[31mb",
        "a\x7f",
        "a\x85b",
        "a\n",
        "a\ud800",
    ],
)
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    """Blank or invisible, a control character, a lone surrogate: such a name is not legible."""
    assert refused(model(model_name=name))[0] is None


@pytest.mark.parametrize(("name", "kept"), [(" a", " a"), ("a ", "a "), ("n" * 256, "n" * 252 + "...")])
def test_a_name_that_is_legible_may_be_refused(name: str, kept: str) -> None:
    """Law 3: outer white space and over 255 characters are refused, but they hide no other model."""
    assert refused(model(model_name=name))[0] == kept
    assert not read(GOOD, model(model_name=name)).nameless


@pytest.mark.parametrize(
    "sent", ["{}", model(model_name=None), model(model_name=7), model(model_name=b"NaN"), "1", "null", '"m"', "[]"]
)
def test_an_element_without_a_name_is_nameless(sent: str) -> None:
    """Law 3: an element that names nothing is rejected, and may be any model: it proves no absence."""
    snapshot = read(GOOD, sent)
    assert [row.name for row in snapshot.rejected] == [None]
    assert snapshot.nameless


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (model(description=b'"\\udfff"'), "description"),
        (model(model_alias=7), "alias"),
        (model(model_type=b'["a", 1]'), "type"),
        (model(description="\0"), "description"),
        (model(description="d" * 50_001), "description"),
        (model(huggingface_url="h" * 2_049), "huggingface_url"),
        (model(model_alias="a" * 256), "alias"),
        (model(model_type="t" * 256), "type"),
        (model(model_alias=b'"a\\ud800"', price=7), "alias"),
    ],
)
def test_an_unreadable_field_costs_itself(sent: str, field: str) -> None:
    """Law 3: a field is never cut to fit; what cannot be read is named, and the model is listed."""
    assert unread(sent)[0] == {field}


def test_an_unreadable_unknown_field_costs_nothing() -> None:
    """A lone surrogate or 5,000 digits in a field that nobody reads leave the model as it is."""
    snapshot = read(model(x=b'"\\ud800"', price=7), model(model_name="b", x=b"9" * 5000, price=8))
    assert {name: row.price for name, row in snapshot.listings.items()} == {"m": 7, "b": 8}
    assert snapshot.unreadable == ()


def test_an_element_that_is_too_long_keeps_its_name() -> None:
    """Law 12: a longer element than is read is rejected by name, so that it is no absence (law 3)."""
    assert refused(model(x="d" * 300_000)) == ("m", "is 300,028 bytes long; at most 262,144 are read")


def test_limits_are_inclusive() -> None:
    """A field of exactly its limit is kept whole."""
    row = one(model(description="d" * 50_000, model_alias="a" * 255, huggingface_url="h" * 2_048))
    assert (len(row.description or ""), len(row.alias or ""), len(row.huggingface_url or "")) == (50_000, 255, 2_048)


def test_a_repeated_key_is_told() -> None:
    """A JSON key repeated in an object has its last value, as in every reader of JSON, and that is told."""
    snapshot = read('{"model_name": "a", "model_name": "b", "price": 1, "price": 2, "x": {"y": 1, "y": [":"]}}')
    assert snapshot.listings["b"].price == Decimal(2)
    assert [(row.name, row.reason) for row in snapshot.duplicates] == [
        ("b", "holds the keys 'y', 'model_name', 'price' more than once; the last one counts")
    ]


def test_colons_in_texts_are_no_keys() -> None:
    """A text that looks like keys is no key held twice."""
    assert read(model(description='"a": 1, "a": 2', x=[{"a": 1}, {"a": ['":']}])).duplicates == ()


def test_what_is_kept_of_a_rejected_row_is_bounded() -> None:
    """A rejected row keeps the beginning of what was sent, as valid text."""
    (row,) = read(GOOD, model(description="é" * 200_000)).rejected
    assert len(row.raw) == words.MAX_REJECTED_RAW
    assert row.raw.startswith('{"model_name": "m"')


# -- duplicates --------------------------------------------------------------------------------------------------------


def believed(*rows: str) -> dict[str, Any]:
    """The arguments that say that these elements are stored, and believed."""
    stored = read(*rows).listings
    return {"known": {row.digest: name for name, row in stored.items()}, "believed": stored.get}


@given(st.permutations([model(price=1), model(price=2, model_type="b"), model(price=2, model_type="a")]))
def test_order_never_chooses_among_several(rows: list[str]) -> None:
    """Law 10: of several elements with one name the smallest counts, whatever their order; the others are recorded."""
    snapshot = read(*rows)
    assert snapshot.listings["m"].price == 1
    assert {row.name for row in snapshot.duplicates} == {"m"}
    assert len(snapshot.duplicates) == 2
    assert (snapshot.rejected, snapshot.nameless) == ((), ())


@given(st.permutations([model(price=1), model(price=3), model(price=2, model_type="b"), model(price=2, x=1)]))
def test_the_believed_one_of_several_counts(rows: list[str]) -> None:
    """The element that says all that is believed wins over smaller ones, read or known by its bytes."""
    stored = believed(model(price=2))
    by_state = parsed(body(rows), believed=stored["believed"])
    assert by_state.listings["m"].price == 2
    assert by_state.listings["m"].type is None
    by_bytes = parsed(body(rows), **believed(model(price=2, x=1)))
    assert by_bytes.same == {"m"}
    assert len(by_bytes.duplicates) == 3


@given(st.permutations([model(price=1), model(price=2, model_type="b")]))
def test_of_several_the_believed_prices_count(rows: list[str]) -> None:
    """Where none says all that is believed, the one with the believed prices wins."""
    assert parsed(body(rows), believed=believed(model(price=2))["believed"]).listings["m"].type == "b"


@pytest.mark.parametrize("second", [model(price=1), model(price=b"1.0"), model(price=1, owner="x")])
def test_a_duplicate_that_says_the_same_is_no_conflict(second: str) -> None:
    """An element repeated with equal tracked fields is one element."""
    first = read(model(price=1), second)
    assert (first.listed, first.rejected, first.duplicates) == (1, (), ())
    assert first.listings == read(second, model(price=1)).listings


def test_a_readable_duplicate_wins_over_what_is_believed_of_none() -> None:
    """Of an element that cannot be read and one that can, what is believed decides; nobody is rejected."""
    rows = (model(price="no"), model(price=1))
    assert parsed(body(rows), believed=believed(model(price=1))["believed"]).listings["m"].price == 1


# -- the response ------------------------------------------------------------------------------------------------------


def complaint(raw: bytes) -> str:
    """What is said of a body that is no catalog."""
    with pytest.raises(BadResponse) as error:
        parsed(raw)
    return str(error.value)


NO_JSON = "the response is not JSON"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the response is empty"),
        (b" \n\t" * 50, "the response is empty"),
        (b"<html>\x1b", "the response is HTML; it begins with '<html>\\x1b'"),
        (b"[]", "the response is a list where an object belongs; it begins with '[]'"),
        (b"7", "the response is a number where an object belongs; it begins with '7'"),
        (b"null", "the response is missing or null where an object belongs; it begins with 'null'"),
        (b"{}", "upstream does not report success (there is no status); it begins with '{}'"),
        (b'{"status": 7}', "upstream does not report success (status is '7'); it begins with '{\"status\": 7}'"),
        (
            b'{"status": "failed", "message": "no \\u001b[31m \\u202e key", "data": null}',
            (
                "upstream does not report success (status is 'failed'); it says: 'no \\x1b[31m \\u202e key'; "
                'it begins with \'{"status": "failed", "message": "no \\\\u001b[31m \\\\u202e key", "data": null}\''
            ),
        ),
        (
            b'{"status": "Success", "data": {"models": []}}',
            (
                "upstream does not report success (status is 'Success'); it begins with "
                '\'{"status": "Success", "data": {"models": []}}\''
            ),
        ),
        (
            b'{"status": "success"}',
            '`data` is missing or null where an object belongs; it begins with \'{"status": "success"}\'',
        ),
        (
            b'{"status": "success", "data": []}',
            '`data` is a list where an object belongs; it begins with \'{"status": "success", "data": []}\'',
        ),
        (
            b'{"status": "success", "data": {"models": {}}}',
            (
                "`data.models` is an object where a list belongs; "
                'it begins with \'{"status": "success", "data": {"models": {}}}\''
            ),
        ),
        (b"[" * 100_000, "the response is nested too deeply to be a catalog"),
        (
            b'{"status": "success", "data": {"models": [{"model_name": ""}]}}',
            (
                "none of the 1 listed models can be read: "
                "the first one has a name that is blank or has outer white space"
            ),
        ),
    ],
)
def test_what_is_said_of_a_response_that_is_no_catalog(raw: bytes, said: str) -> None:
    """Law 3: such a response changes nothing, and the error says what was wrong and how it begins, in plain ASCII."""
    assert complaint(raw) == said


@pytest.mark.parametrize(
    "raw",
    [
        body([GOOD])[:-9],
        body([GOOD]) + b"x",
        body([GOOD]) + b"\0",
        body([GOOD]) + body([GOOD]),
        body(['{"model_name": "tab\there"}']),
        body([GOOD, ""]),
        b"Service Unavailable \xff\xfe",
        b'{"status": "\xff", "data": {"models": []}}',
    ],
    ids=["truncated", "trailing", "NUL after", "twice", "control character", "trailing comma", "text", "no UTF-8"],
)
def test_what_is_not_json_is_shown_safely(raw: bytes) -> None:
    """Law 12: the error on a body that is no JSON quotes its first bytes as one short line of ASCII."""
    said = complaint(raw)
    assert said.startswith(NO_JSON)
    assert "; it begins with '" in said
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 400


def test_invalid_utf8_fails_the_response() -> None:
    """Law 3: bytes that are no UTF-8 in an element that has to be read fail the whole response."""
    said = complaint(body([GOOD, model()]).replace(b'"m"', b'"\xff"'))
    assert said.startswith("the response is not valid UTF-8 (invalid start byte, near '")
    assert said.isascii()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_what_the_json_module_takes_is_not_refused(encoding: str) -> None:
    """A byte order mark or another Unicode encoding gives the same catalog as plain UTF-8."""
    plain = body([model(description="é🦙", price=b"0.20")])
    assert parsed(plain.decode().encode(encoding)) == parsed(plain)


@pytest.mark.parametrize(
    "raw",
    [
        b" " * 100 + body([GOOD, model(price=b"NaN")]),
        body([GOOD, model(price=b"NaN")]).replace(b'"success"', b'"succ\\u0065ss"'),
        body([GOOD]).replace(b"{", b'{"data": 1, ', 1),
        body([GOOD]).replace(b'"message": ""', b'"message": NaN'),
        body([GOOD]).replace(b'"message": ""', b'"message": "\\ud800"'),
        body([GOOD]).replace(b'"message": ""', b'"status": "success"'),
    ],
    ids=["after much space", "escaped status", "a key repeated", "NaN beside", "surrogate beside", "status repeated"],
)
def test_the_fast_reader_never_has_the_last_word(raw: bytes) -> None:
    """A body that the standard json module takes is not refused whole because a faster decoder stumbles."""
    json.loads(raw)
    assert "good" in parsed(raw).listings


def test_an_empty_list_is_a_catalog() -> None:
    """An empty list is a valid response; whether to believe it is decided elsewhere."""
    assert read().listed == 0


def test_a_repeated_digest_is_a_repeated_element() -> None:
    """Equal bytes have equal fingerprints, and the body's fingerprint is hexadecimal."""
    assert parse.element_digest(b"a") == parse.element_digest(b"a") != parse.element_digest(b"b")
    assert len(bytes.fromhex(body_digest(b"a"))) == 16


# -- size --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "listed", "rejected"),
    [
        ([model(price=number) for number in range(100_000)], 1, 99_999),
        ([model(price=1)] * 100_000, 1, 0),
        ([GOOD, model(model_name="n" * 1_000_000)], 1, 1),
        ([GOOD, model(description="d" * 10_000_000)], 1, 1),
        ([GOOD, model(description="\\" * 100_000, price=b"NaN")], 2, 1),
    ],
    ids=["100,000 of one name", "100,000 times the same", "a name of 1 MB", "a description of 10 MB", "backslashes"],
)
def test_hostile_sizes_cost_their_row_and_little_time(elements: list[str], listed: int, rejected: int) -> None:
    """Law 12: 100,000 duplicates, a 1 MB name or a 10 MB description cost a rejected row and seconds, not the run."""
    started = time.monotonic()
    snapshot = read(*elements)
    assert (snapshot.listed, len(snapshot.rejected) + len(snapshot.duplicates) + len(snapshot.unreadable)) == (
        listed,
        rejected,
    )
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("values", ["[]", "{}", "1.1", '"é"', "keys"])
def test_what_is_not_read_of_an_element_costs_its_text(values: str) -> None:
    """Law 12: 64 MiB of empty lists, numbers or keys, which take thirty times their text as values, stay text."""
    members = [f'"k{n}":0' for n in range(9_000)] if values == "keys" else [values] * 25_000
    inner = ",".join(members)
    unknown = f"{{{inner}}}" if values == "keys" else f"[{inner}]"
    response = body([f'{{"model_name":"m{n}","x":{unknown}}}' for n in range(5)])
    tracemalloc.start()
    try:
        snapshot = parse.snapshot(response, SERVERLESS, observed_at=AT)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert bytes(snapshot.listings["m1"].extra).decode() == f'{{"x":{unknown}}}'
    assert held < 3 * len(response)


def test_more_prices_than_a_model_can_have_are_not_read() -> None:
    """Law 12: thousands of tiers in one element cost its prices, and its other fields count (law 3)."""
    tiers = ",".join(f'{{"min_prompt_tokens":{n}000,"prompt":"1"}}' for n in range(2, 300))
    element = f'{{"id":"a","name":"A","pricing":{{"prompt":"1","overrides":[{tiers}]}}}}'
    snapshot = parse.snapshot(f'{{"data":[{element}]}}'.encode(), formats.builtin("openrouter"), observed_at=AT)
    assert (snapshot.listings["a"].alias, snapshot.listings["a"].unread) == ("A", frozenset({PRICES}))
    assert [row.reason for row in snapshot.unreadable] == [
        "has prices of which one is beyond the 200 that a model can have"
    ]


def test_more_prices_than_a_catalog_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12: what would be millions of rows in the first run is no catalog."""
    monkeypatch.setattr(parse, "MAX_PRICES", 5)
    prices = {f"c{number}": f"c{number}" for number in range(6)}
    how = formats.compile({"models": "", "name": "id", "headline": "c0", "prices": prices}, "odd", "a test")
    assert parse.snapshot(b'[{"id":"a","c0":1},{"id":"b"}]', how, observed_at=AT).listed == 2
    with pytest.raises(BadResponse, match="has more than 5 prices"):
        parse.snapshot(b'[{"id":"a","c0":1,"c1":1,"c2":1,"c3":1,"c4":1,"c5":1}]', how, observed_at=AT)


def test_of_many_rejected_elements_little_is_kept() -> None:
    """Law 12: a response in which everything is odd is told by its first thousand, and costs little for the others."""
    odd = [model(model_name=f"m{number}", price="x" * 70) for number in range(1_002)]
    first, *_, last = read(*odd).unreadable
    assert (len(first.raw), len(first.reason)) > (100, 90)
    assert (len(last.raw), len(last.reason)) == (60, 60)


def test_an_element_is_recorded_once_with_all_that_is_wrong() -> None:
    """Two fields that cannot be read are two reasons in one record: rejected rows are kept by their bytes."""
    (row,) = read(model(context_length="x", price="y", model_alias={})).unreadable
    assert [part.split(" that ")[0] for part in row.reason.split("; ")] == [
        "has an alias",
        "has a context_length",
        "has a price price",
    ]


# -- properties --------------------------------------------------------------------------------------------------------


@given(CATALOGS)
def test_a_serialised_catalog_reads_back(catalog: list[dict[str, Any]]) -> None:
    """Whatever catalog is written in the documented format is read back value by value."""
    snapshot = read(*map(element, catalog))
    assert snapshot.rejected == ()
    assert len(snapshot.listings) == len(catalog)
    for sent in catalog:
        row = snapshot.listings[sent["model_name"]]
        tracked = (row.alias, row.type, row.context_length, row.max_completion_tokens, row.description)
        keys = ("model_alias", "model_type", "context_length", "max_completion_tokens", "description")
        assert tracked == tuple(sent.get(key) for key in keys)
        assert row.price == sent.get("price")
        assert (row.huggingface_url or "").endswith(sent.get("huggingface_url") or "")  # owner/name becomes an address
        assert json.loads(bytes(row.extra)) == {key: value for key, value in sent.items() if key == "owner"}
        assert json.loads(bytes(row.raw))["model_name"] == row.name


@given(CATALOGS, CATALOGS, st.data())
def test_skipping_known_bytes_changes_nothing(
    before: list[dict[str, Any]], after: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Law 10: a response read with the stored digests at hand says exactly what it says when all of it is read."""
    stored = read(*map(element, before)).listings
    kept = data.draw(st.sets(st.sampled_from(sorted(stored))))
    now = data.draw(
        st.permutations([element(sent) for sent in (*after, *(s for s in before if s["model_name"] in kept))])
    )
    whole = parsed(body(now), believed=stored.get)
    skipped = parsed(body(now), {row.digest: name for name, row in stored.items()}, believed=stored.get)
    assert {**skipped.listings, **{name: stored[name] for name in skipped.same}} == whole.listings
    assert not skipped.same & skipped.listings.keys()
    assert skipped.stated <= whole.stated, "only of what was read; of the rest, what is stored says it"
    assert (skipped.rejected, skipped.elements) == (whole.rejected, whole.elements)
    assert sorted(row.raw for row in skipped.duplicates) == sorted(row.raw for row in whole.duplicates)
