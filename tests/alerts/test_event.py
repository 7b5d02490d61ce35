"""The one event shape: what leaves syncer is what the shipped schema says, and the same bytes everywhere."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from syncer.alerts.event import as_json, event_of
from syncer.alerts.feed import read_feed
from syncer.alerts.sample import sample
from syncer.alerts.schema import schema
from syncer.alerts.sinks import file
from syncer.core.model import Kind
from syncer.core.notices import NoticeKind
from syncer.core.words import describe_change
from syncer.db.engine import reading
from syncer.db.feed import feed_id, note_late
from tests.alerts.feeding import Target, round_at, subscription
from tests.cli.home import Home
from tests.story import Story, instant
from tests.upstream import Reply, Upstream, model

SCHEMA = json.loads(schema())
NASTY = "\x1b[31mred\u202e \U000e0041 <b> é 模 \x7f"


@pytest.fixture
def validator() -> Draft202012Validator:
    """What holds an event to the shipped schema."""
    return Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def events_of(story: Story) -> list[str]:
    """Everything in the feed, as it is written."""
    with reading(story.engine) as connection:
        feed = feed_id(connection)
        return [as_json(event_of(item, feed)) for item in read_feed(connection, after=0)]


def live(story: Story, seed: int) -> None:
    """A random history: prices that move, go unknown, free and wild, models that come and go, outages."""
    dice = random.Random(seed)
    prices = [None, 0, -1, Decimal("0.000000000000000001"), Decimal("0.1"), 1, 2, 5000]
    for day in range(1, 15):
        names = dice.sample(["a", "b/é", "c", "d", "e", "f", "g"], dice.randint(3, 7))
        rows = [model(name, dice.choice(prices), description=dice.choice(["plain", NASTY])) for name in names]
        if dice.random() < 0.2:
            story.failing(f"01-{day:02}", Reply(status=404))
        else:
            story.on(f"01-{day:02}", model("always", 1), *rows)
    note_late(story.engine, "shop", now=instant("02-01"), interval=instant("01-02") - instant("01-01"))


@pytest.mark.parametrize("seed", range(4))
def test_each_event_is_what_the_schema_says(
    sqlite_url: str, upstream: Upstream, validator: Draft202012Validator, seed: int
) -> None:
    """Every change and notice of random histories validates, and has no key that the schema does not name."""
    trust: dict[str, Any] = (
        {"trust": False} if seed % 2 else {"currency": "USD", "price_units": {"price": {"Text": (1000, "token")}}}
    )
    with Story(sqlite_url, upstream, **trust) as story:
        live(story, seed)
        written = events_of(story)
    assert len(written) > 20
    for text in written:
        event = json.loads(text)
        validator.validate(event)
        kind = event["data"]["kind"]
        shape = SCHEMA["$defs"]["change" if event["type"].startswith("syncer.model.") else kind]
        assert set(shape["required"]) <= set(event["data"]) <= set(shape["properties"]) - {"test"}
        assert set(event) == set(SCHEMA["properties"])


def test_the_schema_is_one_and_names_every_kind() -> None:
    """The schema is a valid JSON Schema, and its types are the kinds of changes and of notices there are."""
    validator_for(SCHEMA).check_schema(SCHEMA)
    kinds = [f"syncer.model.{kind.value}" for kind in Kind] + [f"syncer.source.{word.value}" for word in NoticeKind]
    assert sorted(SCHEMA["properties"]["type"]["enum"]) == sorted(kinds)


@pytest.mark.parametrize(
    ("key", "value"), [("id", "07"), ("type", "syncer.model.lost"), ("time", "2026-01-01T00:00:00"), ("data", {})]
)
def test_the_schema_refuses_what_is_none(
    sqlite_url: str, upstream: Upstream, validator: Draft202012Validator, key: str, value: Any
) -> None:
    """An event with a wrong id, type, time or data is none."""
    with Story(sqlite_url, upstream) as story:
        story.on("01-01", A="1")
        (text,) = events_of(story)
    event = json.loads(text)
    assert validator.is_valid(event)
    assert not validator.is_valid(event | {key: value})


def test_a_sample_has_the_shape_of_an_event(validator: Draft202012Validator) -> None:
    """What `syncer alerts test` sends validates, is marked as a test, and is new each time."""
    one, other = (sample("team", instant("01-01"), jitter) for jitter in (1, 2))
    (event,) = json.loads(one.body)
    validator.validate(event)
    assert (event["data"]["test"], one.is_test, event["id"]) == (True, True, one.id)
    assert one.id != other.id


def test_an_event_is_the_same_bytes_everywhere(home: Home, tmp_path: Path) -> None:
    """A webhook's body, a file's line and `syncer changes --json` show one event with the same bytes, prices exact."""
    home.day(model("A", 1), trust=False)
    home.day(model("A", Decimal("0.0000001")), trust=False)
    home.day(model("A", Decimal(123456789012345), description=NASTY), trust=False)
    target = Target()
    with Story(home.url, home.upstream) as story:
        round_at(story, "02-01", subscription(target, start="beginning"))
        to_file = subscription(file.make(tmp_path / "out.jsonl"), name="file", start="beginning")
        round_at(story, "02-01", to_file)
    printed = home.syncer("changes", "--json").out.encode()
    assert (tmp_path / "out.jsonl").read_bytes() == printed
    assert b"".join(message.body[1:-1] + b"\n" for message in target.messages) == printed
    assert b"0.0000001" in printed
    assert NASTY.encode() not in printed
    assert home.syncer("schema", "event").out == schema()


# -- several prices ----------------------------------------------------------------------------------------------------


def priced(name: str, **dollars: str) -> dict[str, Any]:
    """A model as an OpenAI-compatible endpoint lists it: prices of one token, as texts."""
    keys = {"input": "prompt", "output": "completion", "cache": "input_cache_read"}
    return {"id": name, "name": name, "pricing": {keys[name]: price for name, price in dollars.items()}}


@pytest.fixture
def several(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A shop whose model A costs 2.5 in and 10 out, by the million."""
    with Story(database_url, upstream, format="openai") as story:
        yield offered(story, "01-01", priced("A", input="0.0000025", output="0.00001"))


def offered(story: Story, when: str, *rows: dict[str, Any]) -> Story:
    """Upstream lists these models beside one that never moves."""
    still = [priced(f"still{number}", input="1", output="1") for number in range(3)]
    return story.sends(when, json.dumps({"data": [*rows, *still]}).encode())


def test_an_event_has_each_price(several: Story, validator: Draft202012Validator) -> None:
    """`data.prices` has each component that moved, beside the scalars of the headline; of a new model all of them."""
    offered(several, "01-02", priced("A", input="0.000002", output="0.000008"))
    offered(several, "01-03", priced("A", input="0.000002", output="0.000008", cache="0.0000005"))
    added, *_, both, cache = map(json.loads, events_of(several))
    assert added["data"]["prices"]["output"] == {"old": None, "new": 10, "percent": None}
    validator.validate(both)
    validator.validate(cache)
    data = both["data"]
    assert data["prices"] == {
        "input": {"old": 2.5, "new": 2, "percent": -20},
        "output": {"old": 10, "new": 8, "percent": -20},
    }
    assert [data[key] for key in ("component", "old_price", "price", "percent")] == ["input", 2.5, 2, -20]
    assert data["units"] == {"input": [1000000, "token"], "output": [1000000, "token"]}
    assert data["before"]["prices"] == {"input": 2.5, "output": 10}
    assert data["after"]["prices"] == {"input": 2, "output": 8}
    assert describe_change(data) == "input 2.5 -> 2, output 10 -> 8 USD per 1M tokens (-20 %)"
    data = cache["data"]
    assert data["prices"]["cache_read"] == {"old": None, "new": 0.5, "percent": None}
    assert (data["kind"], data["percent"], list(data["prices"])) == ("repriced", None, ["cache_read"])


def test_what_was_told_is_remembered_by_component(several: Story) -> None:
    """Small steps of one price add up although the other stands still, and survive from round to round."""
    target = Target()
    wanted = subscription(target, min_percent=Decimal(5), components=frozenset({"output"}))
    round_at(several, "01-01", wanted)
    for day, (given, taken) in enumerate([("20", "103"), ("21", "104"), ("22", "106"), ("40", "107")], 2):
        offered(several, f"01-0{day}", priced("A", input=f"0.00000{given}", output=f"0.0000{taken}"))
        round_at(several, f"01-0{day}", wanted)
    outputs = [event["data"]["prices"]["output"] for message in target.messages for event in message.events]
    assert [(price["old"], price["new"]) for price in outputs] == [(Decimal("10.4"), Decimal("10.6"))]
    query = "SELECT component, price, notified_at FROM notified ORDER BY component"
    assert [(row.component, row.price) for row in several.ask(query)] == [("input", "2.2"), ("output", "10.6")]
