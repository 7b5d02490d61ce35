"""Whole sequences of random situations against a small oracle of what should be (laws 2, 3, 5, 6 and 10).

The oracle knows the rules of the manual in plain words and nothing of syncer's code. Trust is off: what a poll shows is
believed at once, but for an absence beside a row without a name. Every example is a source of its own in one database,
over real HTTP.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from syncer.errors import SyncerError
from tests.story import Story, instant, label
from tests.upstream import Reply, Upstream, catalog_body, etag_of, model

NAMES = ("A", "a", "acme/B", "é")
PRICES = ("12", "12", "0.20", "0.2", None, "0", "-0", "-1", "1e-18", "1000000.5")
BROKEN = (
    Reply(body=b"<html>maintenance</html>", headers={"ETag": '"html"'}),
    Reply(body=catalog_body([model("A")])[:-9]),
    Reply(body=catalog_body([model("A")], status="failed", message="quota")),
    Reply(status=404),
)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PATIENCE = timedelta(days=3)
NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Shrinking takes minutes: the test's time would be over, and nothing said of the failure."""
STEPS = (HOUR, HOUR, DAY, DAY, 2 * DAY, timedelta(0), -MINUTE, -5 * MINUTE, -6 * MINUTE, -DAY)


@dataclass(frozen=True)
class Element:
    """One element of a response: without a name it is rejected, and with `readable` False its price cannot be read.

    `extra` is noise.
    """

    name: str | None
    price: str | None = None
    context_length: int | None = None
    extra: int = 0
    readable: bool = True

    def row(self) -> dict[str, Any]:
        """As upstream sends it."""
        price = None if self.price is None else Decimal(self.price)
        row = model(self.name or "", price, context_length=self.context_length, noise=self.extra)
        if self.name is None:
            del row["model_name"]
        return row if self.readable else {**row, "price": "ten dollars"}

    @property
    def number(self) -> str | None:
        """The price in its shortest spelling; None is unknown, and so is what cannot be read."""
        if self.price is None or not self.readable:
            return None
        shortest = f"{Decimal(self.price).normalize():f}"
        return "0" if shortest == "-0" else shortest

    def rank(self, believed: "State | None") -> tuple[Any, ...]:
        """Of several elements with one name the lowest counts: as believed, priced as believed, the smallest."""
        state = State(self.number, self.context_length)
        as_priced = self.readable and believed is not None and state.price == believed.price
        length = "" if self.context_length is None else str(self.context_length)
        smallest = (self.number is None, Decimal(self.number or 0), length, catalog_body([self.row()]))
        return (not (as_priced and state == believed), not as_priced, smallest)


class State(NamedTuple):
    """What of a model is tracked here."""

    price: str | None
    context_length: int | None


@dataclass(frozen=True)
class Poll:
    """An observation so long after the last one, at these elements (None: at the same as the last), or at a fault."""

    after: timedelta
    elements: tuple[Element, ...] | None = None
    fault: Reply | None = None
    etag: bool = True


@dataclass
class Model:
    """What the oracle knows of a model that was ever listed.

    `shown` is when each part of its state was last shown, and `plain` when all of it was.
    """

    state: State
    listed: bool
    shown: dict[str, datetime]
    plain: datetime
    missing_since: datetime | None = None
    periods: list[tuple[str | None, str, str | None]] = field(default_factory=list)

    def open(self, at: datetime) -> None:
        """A price begins to hold, or goes on where it is the same one."""
        if self.periods and self.periods[-1][2] is None:
            self.close(at)
        self.periods.append((self.state.price, label(at), None))

    def close(self, at: datetime) -> None:
        """The price stops to hold."""
        price, start, _ = self.periods.pop()
        self.periods.append((price, start, label(at)))


class Event(NamedTuple):
    """A history row to be; the last observation before it is any of `after`."""

    kind: str
    old_price: str | None
    state: State
    after: frozenset[datetime | None]


class Oracle:
    """What the database should say after each observation: `models`, and `history` by name and `effective_at`."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.history: dict[tuple[str, str], Event] = {}
        self.last: datetime | None = None
        self.absent_after: datetime | None = None  # the last observation that proved an absence
        self.judged = False  # whether that was the last observation

    def poll(self, clock: datetime, elements: tuple[Element, ...]) -> bool:
        """Take an observation; False if it can only fail, and then nothing is another."""
        at = self._observed_at(clock)
        listed = self._chosen(elements)
        if at is None or not self._is_catalog(elements, listed.values()):
            return False
        nameless = any(element.name is None for element in elements)
        for name, element in listed.items():
            self._show(name, element, at)
        for name in self.models.keys() - listed.keys():
            self._miss(name, at, nameless=nameless)
        self.last, self.judged = at, not nameless
        if not nameless:
            self.absent_after = at
        return True

    def _chosen(self, elements: tuple[Element, ...]) -> dict[str, Element]:
        """The one element of each name that counts."""
        names = {element.name for element in elements if element.name is not None}
        believed = {name: known.state for name, known in self.models.items()}
        return {
            name: min(
                (element for element in elements if element.name == name),
                key=lambda element: element.rank(believed.get(str(element.name))),
            )
            for name in sorted(names)
        }

    def _is_catalog(self, elements: tuple[Element, ...], listed: Iterable[Element]) -> bool:
        """Some element can be read; and the first response lists a model, and has a price, if none that can be read."""
        if not elements:
            return bool(self.models)
        has_price = any(element.price is not None or not element.readable for element in elements if element.name)
        return bool(listed) and (bool(self.models) or has_price)

    def _observed_at(self, clock: datetime) -> datetime | None:
        if self.last is None or clock > self.last:
            return clock
        return None if self.last - clock > 5 * MINUTE else self.last + timedelta(microseconds=1)

    def _show(self, name: str, element: Element, at: datetime) -> None:
        known = self.models.get(name)
        state = State(element.number, element.context_length)
        if known is None:
            known = self.models[name] = Model(state, listed=False, shown={}, plain=at)
            self._tell("added", name, None, at, {self.absent_after})
            known.open(at)
        else:
            self._compare(name, known, state if element.readable else state._replace(price=known.state.price), at)
        if element.readable or not known.listed:  # what it is listed with anew is its state from then on
            known.shown["price"] = known.plain = at
        known.shown["context_length"] = at
        known.listed, known.missing_since = True, None

    def _compare(self, name: str, known: Model, state: State, at: datetime) -> None:
        """A known model as it is now: back, repriced, updated, or the same."""
        before, known.state = known.state, state
        moved = [part for part in State._fields if getattr(before, part) != getattr(state, part)]
        if not known.listed:
            proofs = (self.absent_after, known.missing_since)
            self._tell("relisted", name, before.price, at, {max(proof for proof in proofs if proof is not None)})
            known.open(at)
        elif moved:
            exact = min(known.shown[part] for part in moved)
            plainly = self.judged and known.missing_since is None
            after = {exact} if plainly else {exact, known.plain}  # what could not be judged may make a window wider
            self._tell("repriced" if "price" in moved else "updated", name, before.price, at, after)
            if "price" in moved:
                known.open(at)

    def _miss(self, name: str, at: datetime, *, nameless: bool) -> None:
        """Without a nameless row an absence is believed, with one after three days; both from the first miss on."""
        known = self.models[name]
        if not known.listed:
            return
        known.missing_since = since = known.missing_since or at
        if nameless and at - since < PATIENCE:
            return
        self._tell("removed", name, known.state.price, since, {known.shown["context_length"], known.plain})
        known.listed = False
        known.close(since)

    def _tell(self, kind: str, name: str, old: str | None, at: datetime, after: Iterable[datetime | None]) -> None:
        self.history[name, label(at)] = Event(kind, old, self.models[name].state, frozenset(after))


elements = st.builds(
    Element,
    name=st.sampled_from(("A", "A", "A", *NAMES, None)),
    price=st.sampled_from(PRICES),
    context_length=st.sampled_from((None, 4096, 4096)),
    extra=st.integers(0, 1),
    readable=st.sampled_from((True, True, False)),
)
catalogs = st.lists(elements, max_size=4)
acts = st.sampled_from(("new", "append", "append", "drop", "change", "change", "change", "same", "same", "fault"))


@st.composite
def stories(draw: st.DrawFn) -> list[Poll]:
    """A catalog that moves a little from observation to observation, so that what lasts has time to."""
    listed, story = draw(catalogs), []
    for act in ["new", *draw(st.lists(acts, min_size=3, max_size=10))]:
        after = draw(st.sampled_from(STEPS))
        if act == "fault":
            story.append(Poll(after, fault=draw(st.sampled_from(BROKEN))))
            continue
        listed = _moved(draw, act, listed)
        story.append(Poll(after, None if act == "same" else tuple(listed), etag=draw(st.booleans())))
    return story


def _moved(draw: st.DrawFn, act: str, listed: list[Element]) -> list[Element]:
    if act == "new":
        return draw(catalogs)
    if act == "append":
        return [*listed, draw(elements)]
    if act == "same" or not listed:
        return listed
    place = draw(st.integers(0, len(listed) - 1))
    moved = [replace(draw(elements), name=listed[place].name)] if act == "change" else []
    return [*listed[:place], *moved, *listed[place + 1 :]]


A, ODD = Element("A", "12", 4096), Element(None, "12")
UNREAD = replace(A, readable=False)
TELLING = [
    [Poll(HOUR, (A, Element("a", "12"))), *[Poll(DAY, (A, ODD))] * 2, Poll(2 * DAY), Poll(DAY, (A,))],
    [Poll(HOUR, (A, Element("a", "12"))), Poll(DAY, (A, ODD)), Poll(3 * DAY - HOUR), Poll(HOUR)],
    [Poll(HOUR, (A,)), *[Poll(DAY, (UNREAD,))] * 2, Poll(HOUR, (replace(UNREAD, context_length=1),)), Poll(HOUR, (A,))],
    [Poll(HOUR, (replace(A, price=None), replace(UNREAD, context_length=8192)))],
    [Poll(HOUR, (replace(A, price=None),)), Poll(HOUR, (UNREAD,)), Poll(HOUR, ()), Poll(HOUR, (UNREAD,))],
    [Poll(HOUR, (A,)), Poll(HOUR, ()), Poll(HOUR, ()), Poll(HOUR, (ODD, UNREAD)), Poll(HOUR, (A, Element("a")))],
]
"""What chance hardly finds: patience beside a nameless row, an unread price and a limit that moves, a first price."""


def live(catalog: Story, story: list[Poll]) -> None:
    """Live through a story as a source of its own, and compare with the oracle after each observation."""
    oracle, served = Oracle(), None
    now = instant("06-01")
    catalog.upstream.reply(BROKEN[0])
    for poll in story:
        now += poll.after
        if poll.fault:
            catalog.upstream.reply(poll.fault)
            served = None
        elif poll.elements is not None:
            body = catalog_body([element.row() for element in poll.elements])
            catalog.upstream.reply(Reply(body=body, headers={"ETag": etag_of(body)} if poll.etag else {}))
            served = poll.elements
        if served is not None and oracle.poll(now, served):
            catalog.again(label(now))
        else:
            with pytest.raises(SyncerError):
                catalog.again(label(now))
            assert catalog.run.outcome == "failed"
        compare(catalog, oracle)


def compare(catalog: Story, oracle: Oracle) -> None:
    """The current catalog, the history and the periods are those of the oracle (and `Story` checks the laws)."""
    listed = {name: known.state.price for name, known in oracle.models.items() if known.listed}
    assert catalog.current() == listed
    history = {(row.name, row.effective_at): row for row in catalog.history()}
    assert {key: (row.kind, row.old_price, (row.price, row.context_length)) for key, row in history.items()} == {
        key: (event.kind, event.old_price, event.state) for key, event in oracle.history.items()
    }
    for key, event in oracle.history.items():
        assert history[key].changed_after in {at and label(at) for at in event.after}, (key, event)
    for name, known in oracle.models.items():
        assert catalog.periods(name) == known.periods


def live_many(url: str, upstream: Upstream, examples: int) -> None:
    """So many random stories in one database, each as a source of its own."""
    with Story(url, upstream, trust=False) as catalog:
        number = itertools.count()

        @settings(max_examples=examples, phases=NOT_SHRUNK)
        @given(stories())
        def check(story: list[Poll]) -> None:
            live(catalog.set(name=f"shop {next(number)}"), story)

        for story in TELLING:
            check = example(story)(check)
        check()


def test_random_stories_on_sqlite(sqlite_url: str, upstream: Upstream) -> None:
    """Whatever upstream sends and the clock does, SQLite holds what the oracle says."""
    live_many(sqlite_url, upstream, examples=40)


def test_random_stories_on_postgresql(postgres_url: str, upstream: Upstream) -> None:
    """The same on PostgreSQL, with fewer examples."""
    live_many(postgres_url, upstream, examples=8)
