"""Formats as data: each built-in one reads a documented body, and each mistake in a format names its place."""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer.core import formats, parse
from syncer.core.formats import CompiledFormat
from syncer.core.model import Snapshot
from syncer.errors import BadResponse, SettingsError

AT = datetime(2026, 1, 1, tzinfo=UTC)
BODIES = Path(__file__).parent.parent / "data" / "formats"

# Hand-checked against each body: (type, context, most tokens of a response, end, prices), by name. Prices are for
# 1,000,000 tokens, or for one of whatever else is paid for.
READ: dict[str, dict[str, tuple[object, ...]]] = {
    "serverless": {
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": ("Text", 32768, 10000, None, {"price": "0"}),
        "stabilityai/stable-diffusion-xl-base-1.0": ("Image", None, 10000, None, {"price": "0.009"}),
        "WhereIsAI/UAE-Large-V1": ("Embedding", 512, 10000, None, {"price": "0.012"}),
    },
    "openrouter": {
        "acme/tiers": (
            "text",
            1000000,
            None,
            "2026-09-01",
            {
                "input": "0.03",
                "output": "0.13",
                "cache_read": "0.006",
                "image": "0.001",
                "input@>32000": "0.1",
                "output@>32000": "0.4",
                "input@>256000": "0.2",
            },
        ),
        "acme/by-the-hour": ("image+text", 131072, None, None, {"input": "0.66", "output": "1.98"}),
        "acme/router": ("text", 2000000, None, None, {"input": None, "output": None}),
    },
    "litellm": {
        "acme-1": (
            "chat",
            200000,
            8192,
            "2026-03-05",
            {
                "input": "3",
                "output": "15",
                "cache_read": "0.3",
                "cache_write": "3.75",
                "cache_write_1h": "6",
                "input@>200000": "6",
                "cache_write_1h@>200000": "12",
                "input@priority": "4.5",
                "output@batch": "7.5",
                "web_search": "0.01",
                "web_search@low": "0.008",
                "web_search@high": "0.012",
            },
        ),
        "acme-tiered": ("chat", 1000000, 65536, None, {"input": "0.4", "output": "1.2", "input@>256000": "1.2"}),
        "acme-image": ("image_generation", None, None, None, {"input": None, "image": "0.04"}),
    },
    "models.dev": {
        "acme/one": (
            "image+text",
            1000000,
            65536,
            None,
            {"input": "1.25", "output": "10", "cache_read": "0.125", "input@>200000": "2.5", "output@>200000": "15"},
        ),
        "other/one": ("text", 8192, 4096, None, {"input": "0"}),
    },
    "together": {
        "acme/chat": ("chat", 131072, None, None, {"input": "0.88", "output": "0.88", "hour": "0"}),
    },
    "deepinfra": {
        "acme/chat": (
            "text-generation",
            163840,
            None,
            "2026-08-22T10:31:30",
            {"input": "0.37", "output": "1.7", "cache_read": "0.074"},
        ),
        "acme/voice": ("text-to-speech", None, None, None, {"input": None}),
    },
    "vercel": {
        "acme/chat": (
            "language",
            1050000,
            128000,
            None,
            {"input": "1", "output": "6", "cache_read": "0.1", "cache_read@>272000": "0.2", "input@>272000": "2"},
        ),
    },
    "novita": {
        "acme/chat": (
            "chat",
            1000000,
            65536,
            None,
            {"input": "0.15", "output": "0.5", "cache_read": "0.03", "input@>32000": "0.3"},
        ),
        "acme/none": ("chat", 8192, 4096, None, {"input": None, "output": None}),
    },
    "chutes": {
        "Qwen/Qwen3-32B-TEE": (
            "text",
            40960,
            40960,
            None,
            {"input": "0.104", "output": "0.416", "cache_read": "0.0104"},
        ),
    },
    "fireworks": {
        "acme-1:standard": ("text", 131072, None, "2026-12-01", {"input": "0.95", "output": "3", "cache_read": "0.16"}),
        "acme-1:fast": ("text", 131072, None, None, {"input": "1.9", "output": "6.5"}),
    },
    "huggingface": {
        "acme/one:first": ("text", 131072, None, None, {"input": "0.1", "output": "0.3"}),
        "acme/one:second": ("text", 65536, None, None, {"input": None}),
    },
    "openai": {
        "acme-1": (None, 16000, None, None, {"input": "3", "output": "6"}),
        "plain": (None, None, None, None, {"input": None}),
    },
    "anthropic": {
        "claude-1": (None, 200000, 64000, None, {"price": None}),
    },
    "google": {
        "models/gemini-1": (None, 1048576, 65536, None, {"price": None}),
    },
}


def read(name: str) -> Snapshot:
    """What the recorded or documented body of a built-in format says."""
    return parse.snapshot((BODIES / f"{name}.json").read_bytes(), formats.builtin(name), observed_at=AT)


@pytest.mark.parametrize("name", formats.names())
def test_each_built_in_format_reads_its_body(name: str) -> None:
    """Each built-in format reads a body in the documented shape to values that were checked by hand, exactly."""
    snapshot = read(name)
    found = {
        row.name: (
            row.type,
            row.context_length,
            row.max_completion_tokens,
            row.expires_at and row.expires_at.isoformat().removesuffix("+00:00").removesuffix("T00:00:00"),
            {component: price if price is None else format(price, "f") for component, price in row.prices.items()},
        )
        for row in snapshot.listings.values()
    }
    assert found == READ[name]
    assert (snapshot.rejected, snapshot.unreadable, snapshot.duplicates) == ((), (), ())
    assert parse.unmatched(snapshot, formats.builtin(name)).error is None


@pytest.mark.parametrize("name", formats.names())
def test_an_element_is_read_again_from_what_is_kept(name: str) -> None:
    """What is kept of an element is enough to read it again, with the keys of its maps, to the same listing."""
    for row in read(name).listings.values():
        assert parse.element(bytes(row.raw), formats.builtin(name)) == row


def test_what_a_reader_reads_is_not_called_unread() -> None:
    """LiteLLM's keys with a suffix are tiers; a key that means nothing stays in the list."""
    body = b'{"a":{"input_cost_per_token":1e-6,"input_cost_per_token_flex":1e-6,"input_cost_per_token_odd":1e-6}}'
    how = formats.builtin("litellm")
    assert parse.unmatched(parse.snapshot(body, how, observed_at=AT), how).unused == ("input_cost_per_token_odd",)


def test_numbers_that_mean_no_price_need_no_unit() -> None:
    """`varies` stands on a component of whatever unit, known or not."""
    how = formats.compile({"extends": "serverless", "prices": {"price": {"path": "price", "varies": ["-1"]}}}, "a", "f")
    assert not how.price_units
    assert how.components[0].unit.varies == {Decimal(-1)}


@pytest.mark.parametrize("name", formats.names())
def test_a_built_in_format_is_shown_as_it_is_written(name: str) -> None:
    """What `show` prints can be pasted into syncer.toml, and is the same reading there."""
    table = tomllib.loads(formats.show(name))["formats"][name]
    assert formats.compile(table, name, "syncer.toml").parser == formats.builtin(name).parser


def acme(**changes: Any) -> CompiledFormat:
    """A small format with these keys changed; None takes one away."""
    table = {
        "models": "data",
        "name": "id",
        "unit": {"per": 1},
        "prices": {"input": "pricing.prompt", "output": "pricing.completion"},
    }
    return formats.compile(
        {key: value for key, value in {**table, **changes}.items() if value is not None}, "acme", "syncer.toml"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nmae": "id"}, "acme.nmae: there is no such key; perhaps 'name' is meant"),
        (
            {"fields": {"contxt_length": "x"}},
            "acme.fields.contxt_length: there is no such key; perhaps 'context_length'",
        ),
        ({"models": None}, "acme.models: say where the list is"),
        ({"models": "*.models"}, "acme.models: a path with * ends with *"),
        ({"models": "a..b"}, "acme.models: write a path"),
        ({"name": None}, "acme.name: say what a model is called"),
        ({"name": "{$1}"}, "acme.name: {$1} is the key of a map; `models` has 0 of them"),
        ({"name": "{id"}, "acme.name: each { needs its }"),
        ({"name": "^id"}, "acme: the path ^id needs `split`"),
        ({"skip": "x"}, "acme.skip: write a list of names"),
        ({"success": {"ok": 1.5}}, "acme.success.ok: write what must stand there"),
        ({"unit": 7}, "acme.unit: write a table"),
        ({"unit": {"per": 3}}, "acme.unit.per: write 1, 10, 100"),
        ({"unit": {"factor": "0.02"}}, "acme.unit.factor: write a power of ten as a text"),
        ({"unit": {"factor": "x"}}, "acme.unit.factor: write a power of ten as a text"),
        ({"unit": {"varies": ["x"]}}, "acme.unit.varies: write a list of numbers"),
        ({"unit": {"pre": 1}}, "acme.unit.pre: there is no such key; perhaps 'per' is meant"),
        ({"headline": "inptu"}, "acme.headline: there is no component 'inptu' in prices; perhaps 'input' is meant"),
        ({"prices": {"In put": "x"}}, "acme.prices.In put: a component is called by small letters"),
        ({"prices": {"input": 7}}, "acme.prices.input: write a path"),
        ({"prices": {"input": {"pth": "x"}}}, "acme.prices.input.pth: there is no such key; perhaps 'path' is meant"),
        ({"prices": {"input": {"per": 1}}}, "acme.prices.input: say its path"),
        ({"prices": {"input": {"path": "x", "list": "y"}}}, "acme.prices.input: `list` and `where` belong together"),
        ({"prices": {"input": {"path": "x", "times": "y"}}}, "acme.prices.input.times: there is no component 'y'"),
        ({"reader": "openruter"}, "acme.reader: there is no reader 'openruter'; perhaps 'openrouter' is meant"),
        ({"pages": "all"}, 'acme.pages: write "whole", or a table with one of cursor, next, offset, page'),
        ({"pages": {"cursor": "x"}}, "acme.pages.parameter: write the name of the parameter"),
        ({"pages": {"next": "x", "size": 1}}, "acme.pages.size: there is no such key"),
        ({"auth": "a b"}, "acme.auth: write"),
        ({"headers": {"a b": "x"}}, "acme.headers.a b: this cannot be the name of a header"),
        ({"headers": {"X": {"env": "1x"}}}, "acme.headers.X: write the name of an environment variable"),
        ({"headers": {"X": "a\nb"}}, "acme.headers.X: write a text of printable ASCII"),
        ({"url": "ftp://x"}, "acme.url: write the address of the list"),
        ({"url": "https://u:p@x/y"}, "acme.url: write no user name or password"),
        ({"currency": "dollars"}, "acme.currency: write three capital letters"),
        ({"extends": "opnai"}, "acme.extends: there is no format 'opnai'; perhaps 'openai' is meant"),
    ],
)
def test_each_mistake_names_its_place(changes: dict[str, Any], said: str) -> None:
    """A mistake in a format is one sentence that names the file, the table and the key, and says what to write."""
    with pytest.raises(SettingsError) as error:
        acme(**changes)
    assert str(error.value).startswith(f"syncer.toml: formats.{said}")
    assert "\n" not in str(error.value)


def test_a_format_extends_another() -> None:
    """`extends` starts from a format; what is said again wins, and an empty text takes a field or price away."""
    fmt = formats.compile(
        {"extends": "openai", "url": "https://x.example/v1/models", "prices": {"cache_write": "", "input": "p.in"}},
        "acme",
        "syncer.toml",
    )
    assert [str(component.lookup) for component in fmt.components] == [
        "p.in",
        "pricing.completion",
        "pricing.input_cache_read",
    ]
    assert (fmt.url, fmt.models, fmt.name) == ("https://x.example/v1/models", ("data",), "acme")
    with pytest.raises(SettingsError, match="goes round in a circle"):
        formats.compile({"extends": "b"}, "a", "syncer.toml", {"a": {"extends": "b"}, "b": {"extends": "a"}})


def test_the_parser_names_the_reading() -> None:
    """Another path or unit is another reading; another address, header or way to page is not."""
    assert acme().parser == acme(url="https://x.example", auth="none", pages="whole").parser
    others = [acme(name="name"), acme(unit={"per": 1000}), acme(reader="openrouter"), acme(skip=["x"])]
    assert len({acme().parser, *(fmt.parser for fmt in others)}) == 5


def priced(fmt: CompiledFormat, element: str) -> dict[str, str | None]:
    """The prices of one element."""
    listing = parse.element(element.encode(), fmt)
    assert not listing.unread
    return {name: price if price is None else format(price, "f") for name, price in listing.prices.items()}


def test_prices_are_scaled_before_they_are_rounded() -> None:
    """Law 4: a price for one token keeps its 15 digits, as text or as number."""
    assert priced(
        acme(), '{"id":"a","pricing":{"prompt":"2.08333333333333E-8","completion":0.0000000208333333333333}}'
    ) == {
        "input": "0.0208333333333333",
        "output": "0.0208333333333333",
    }


def test_a_multiple_is_the_exact_product() -> None:
    """A price that is a multiple of another one is their exact product, rounded once; unknown if either is."""
    fmt = acme(prices={"cache_read": {"path": "rate", "times": "input"}, "input": {"path": "in", "factor": "0.01"}})
    assert priced(fmt, '{"id":"a","in":3.7e-5,"rate":0.2}') == {"input": "0.37", "cache_read": "0.074"}
    assert priced(fmt, '{"id":"a","rate":0.2}') == {"input": None, "cache_read": None}


def test_one_item_of_a_list_is_found_by_its_fields() -> None:
    """`where` finds the one item whose fields equal these; two of them are a price that cannot be read."""
    fmt = acme(unit={"per": 1000000}, prices={"input": {"list": "p", "where": {"sku": "in"}, "path": "a.b"}})
    assert priced(fmt, '{"id":"a","p":[{"sku":"out"},{"sku":"in","a":{"b":{"units":"1","nanos":950000000}}}]}') == {
        "input": "1.95"
    }
    assert parse.element(b'{"id":"a","p":[{"sku":"in"},{"sku":"in"}]}', fmt).unread == {"prices"}


@pytest.mark.parametrize("element", ['{"id":"a","pricing":[1]}', '{"id":"a","pricing":"free"}'])
def test_a_path_through_something_else_cannot_be_read(element: str) -> None:
    """A path through a list or a text is no absent price, but one that cannot be read."""
    assert parse.element(element.encode(), acme()).unread == {"prices"}


def test_a_key_with_a_dot_is_a_list() -> None:
    """A path is a list of keys where a key holds a dot."""
    assert priced(acme(prices={"input": ["a.b", "c"]}), '{"id":"a","a.b":{"c":"0.000001"}}') == {"input": "1"}


# -- what is missing, and what is left over ----------------------------------------------------------------------------


def test_a_typo_in_every_price_path_is_an_error() -> None:
    """A format none of whose prices any element has is an error that names the paths; a single one is a warning."""
    body = b'{"data":[{"id":"a","pricing":{"prompt":"1","more":1},"owner":"x"},{"id":"b","owner":"y"}]}'
    right = acme()
    found = parse.unmatched(parse.snapshot(body, right, observed_at=AT), right)
    assert (found.error, found.warnings) == (None, ("no element has `pricing.completion` (the price output)",))
    assert found.unused == ("owner", "pricing.more")
    wrong = acme(prices={"input": "pricng.prompt", "output": "pricng.completion"})
    said = parse.unmatched(parse.snapshot(body, wrong, observed_at=AT), wrong).error
    assert said == "no element has a price: the format 'acme' looks for `pricng.prompt`, `pricng.completion`"
    through = b'{"data":[{"id":"a","pricing":[{"prompt":"1"}]},{"id":"b","pricing":"free"}]}'
    assert "pricing.prompt" in str(parse.unmatched(parse.snapshot(through, right, observed_at=AT), right).error)
    unreadable = b'{"data":[{"id":"a","pricing":{"prompt":"N/A"}}]}'
    assert parse.unmatched(parse.snapshot(unreadable, right, observed_at=AT), right).error is None
    with pytest.raises(BadResponse, match="none of the 2 listed models can be read: the first one has no ident"):
        parse.snapshot(body, acme(name="ident"), observed_at=AT)
