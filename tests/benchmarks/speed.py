"""Scenarios A to D: whole processes of ours beside whole processes of each floor, taking turns, from the same state.

- A: first load into a database that has the schema. B0: a 304. B1: the same bytes without an ETag. B2: the same
  listings, other bytes (order and envelope). C: 1 % repriced, 0.1 % added, 0.1 % removed. R: every price moved. D: 100
  syncs in one process.
- A4, B24, C4 and R4 are the same with four prices a model, A16 and C16 with sixteen. M2 and MC are B2 and C in the
  shape and size of models.dev.
- Each repetition runs every contestant once, each time another one first; figures are medians.
- A database is prepared once for each size and copied for each run. What a sync says it did is checked.
"""

import statistics
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from syncer.settings import SourceSettings
from tests.benchmarks import databases, processes
from tests.benchmarks.catalogs import Catalog
from tests.benchmarks.databases import Database
from tests.benchmarks.offers import Offer, offer
from tests.benchmarks.other_tools import Dlt, State
from tests.benchmarks.processes import FLOORS, HERE, Sample
from tests.benchmarks.shapes import FOUR, MODELS_DEV, ONE, SIXTEEN, Shape
from tests.upstream import Reply, Upstream

MILLION = 1_000_000


class Scenario(NamedTuple):
    """What is offered, in which shape, and what it is measured against."""

    offer: str
    floors: tuple[str, ...]
    shape: Shape = ONE


_SIZED = {
    "A": Scenario("A", ("raw", "F")),
    "B0": Scenario("B0", ("start",)),
    "B1": Scenario("B1", ("start", "F")),
    "B2": Scenario("B2", ("F",)),
    "C": Scenario("C", ("F",)),
    "R": Scenario("R", ("raw",)),
    "A4": Scenario("A", ("raw", "F"), FOUR),
    "B24": Scenario("B2", ("F",), FOUR),
    "C4": Scenario("C", ("F",), FOUR),
    "R4": Scenario("R", ("raw",), FOUR),
    "A16": Scenario("A", ("F",), SIXTEEN),
    "C16": Scenario("C", ("F",), SIXTEEN),
    "M2": Scenario("B2", ("F",), MODELS_DEV),
    "MC": Scenario("C", ("F",), MODELS_DEV),
}
SCENARIOS = (*_SIZED, "first", "D", "memory")
MODELS_DEV_SIZE = 5_300
_OTHERS_IN = frozenset({"A", "B2", "C"})
_D_MODELS = 500
_USUAL_BODY = SourceSettings(url="").max_body  # that is for real catalogs
_LATEST = (
    "SELECT outcome, http_status, listed, added, repriced, "
    "(SELECT count(*) FROM models WHERE missing_since IS NOT NULL) AS missing FROM runs ORDER BY id DESC LIMIT 1"
)
_WRITTEN = "SELECT count(*) AS changes FROM changes"

Contestant = Callable[[], Sample]
Row = dict[str, Any]


class Plan(NamedTuple):
    """What to measure: `repeats` maps numbers of models to repetitions, `syncs` is how many D makes in how many runs.

    `dlt` is the interpreter in which dlt is installed, None for no dlt.
    """

    scenarios: Collection[str]
    databases: Collection[str]
    repeats: Mapping[int, int]
    syncs: tuple[int, int]
    usual_repeats: int = 5
    dlt: str | None = None
    dlt_repeats: int = 3


class Figure(NamedTuple):
    """One scenario on one database at one size.

    `samples` is every process that ran, by contestant ("ours" is syncer); `seconds` is what is compared: their times
    by the clock, or those that they took inside.
    """

    scenario: str
    database: str
    models: int
    samples: Mapping[str, list[Sample]]
    seconds: Mapping[str, list[float]]

    @property
    def floors(self) -> list[str]:
        """What ours is measured against."""
        return [name for name in self.seconds if name != "ours"]

    def median(self, contestant: str = "ours") -> float:
        """Median seconds."""
        return statistics.median(self.seconds[contestant])

    def ratio(self, floor: str) -> float:
        """Ours to the floor's."""
        return self.median() / self.median(floor)

    def cpu(self, contestant: str = "ours") -> float:
        """Median seconds of processor of a contestant's process (of a server's none are in it)."""
        return statistics.median(sample.cpu for sample in self.samples[contestant])

    def peak_mb(self) -> float:
        """Median peak memory of our process, in MiB."""
        return statistics.median(sample.peak_mb for sample in self.samples["ours"])


def measure(plan: Plan) -> Iterator[Figure]:
    """All figures of the plan, one after the other; raises RuntimeError or AssertionError where work was not done."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        for database in databases.available(stack, plan.databases):
            bench = _Bench(plan, upstream, database)
            for models in plan.repeats:
                for shape in (ONE, FOUR, SIXTEEN):
                    yield from bench.sized(models, shape)
            yield from bench.sized(MODELS_DEV_SIZE, MODELS_DEV)
            if "D" in plan.scenarios:
                yield bench.many_syncs(*plan.syncs)
            if "first" in plan.scenarios:
                yield bench.first_sync()
            if "memory" in plan.scenarios and database.name == "sqlite":
                yield from bench.million()


class _Bench:
    """One database and one upstream, in whose one URL every prepared database believes."""

    def __init__(self, plan: Plan, upstream: Upstream, database: Database) -> None:
        self.plan, self.upstream, self.database = plan, upstream, database
        self.empty = databases.with_schema(database)

    def sized(self, models: int, shape: Shape) -> Iterator[Figure]:
        """The scenarios of one shape at one size."""
        wanted = [name for name, one in _SIZED.items() if name in self.plan.scenarios and one.shape is shape]
        if not wanted:
            return
        catalog = Catalog.of(models, shape)
        with ExitStack() as stack:
            prepared = stack.enter_context(self.prepared(catalog))
            others = self.others(stack, models) if _OTHERS_IN.intersection(wanted) else {}
            for scenario in wanted:
                yield self.scenario(scenario, catalog, prepared, others if scenario in _OTHERS_IN else {})

    def scenario(self, name: str, catalog: Catalog, prepared: str, others: Mapping[str, tuple[Dlt, State]]) -> Figure:
        """One of them."""
        scenario, models = _SIZED[name], len(catalog.prices)
        repeats = self.plan.repeats.get(models, self.plan.usual_repeats)
        self.progress(f"{name} at {models:,} models, {repeats} times")
        offered = self.offer(scenario.offer, catalog)
        template = self.empty if scenario.offer == "A" else prepared
        contestants: dict[str, Contestant] = {"ours": partial(self.ours, template, offered, scenario.shape)}
        contestants |= {floor: self.floor(floor, template, offered, scenario) for floor in scenario.floors}
        contestants |= {
            other: partial(tool.again, None if scenario.offer == "A" else state, offered.kept)
            for other, (tool, state) in others.items()
        }
        samples = take_turns(contestants, repeats, fewer=dict.fromkeys(others, self.plan.dlt_repeats))
        seconds: dict[str, list[float]] = {}
        for contestant, taken in samples.items():
            seconds[contestant] = [sample.wall for sample in taken]
            if contestant == "raw" and scenario.offer == "A":
                seconds["raw, writing only"] = [sample.said()["write_seconds"] for sample in taken]
        return Figure(name, self.database.name, models, samples, seconds)

    def others(self, stack: ExitStack, models: int) -> dict[str, tuple[Dlt, State]]:
        """The two ways of dlt, each with a state that has loaded what is offered now."""
        if self.plan.dlt is None:
            return {}
        self.progress(f"preparing {models:,} models for dlt")
        tools = {
            name: Dlt(self.plan.dlt, self.database, self.upstream.url, how)
            for name, how in (("dlt", "dicts"), ("dlt, arrow", "arrow"))
        }
        loaded = {"kept": models, "current": models}
        return {name: (tool, stack.enter_context(tool.prepared(loaded))) for name, tool in tools.items()}

    def many_syncs(self, syncs: int, repeats: int) -> Figure:
        """D: start-up is off, each sync is timed inside."""
        self.progress(f"D, {syncs} syncs at {_D_MODELS} models, {repeats} times")
        catalog, changes = Catalog.of(_D_MODELS), _D_MODELS
        replies = []
        with self.prepared(catalog) as prepared:
            for seed in range(syncs):
                catalog, moved = catalog.moved(seed, listings_too=False)
                replies.append(Reply(body=catalog.body()))
                changes += moved.repriced
            contestants = {
                "ours": partial(self.syncs, prepared, replies, changes, HERE / "syncs.py"),
                "raw": partial(self.syncs, prepared, replies, changes, FLOORS / "raw.py", "syncs"),
            }
            samples = take_turns(contestants, repeats)
        seconds = {name: [one for run in runs for one in run.said()["seconds"]] for name, runs in samples.items()}
        return Figure("D", self.database.name, _D_MODELS, samples, seconds)

    def first_sync(self) -> Figure:
        """The very first sync of a database, which makes the schema too."""
        self.progress("the first sync ever")
        catalog = Catalog.of(_D_MODELS)
        samples = take_turns({"ours": partial(self.ours, None, self.offer("A", catalog))}, 3)
        return Figure("first", self.database.name, _D_MODELS, samples, {"ours": [one.wall for one in samples["ours"]]})

    def million(self) -> Iterator[Figure]:
        """A and C at a million models, once each."""
        catalog = Catalog.of(MILLION)
        with self.copied(self.empty) as url:
            for scenario in ("A", "C"):
                self.progress(f"{scenario} at {MILLION:,} models, once")
                sample = self.checked(url, self.offer(scenario, catalog))
                yield Figure(scenario, self.database.name, MILLION, {"ours": [sample]}, {"ours": [sample.wall]})

    # -- what is offered, and to whom ------------------------------------------------------------------------------

    def offer(self, scenario: str, catalog: Catalog) -> Offer:
        """Serve what the scenario is about."""
        offered = offer(scenario, catalog)
        self.upstream.serve(offered.body, etag=offered.etag)
        return offered

    @contextmanager
    def prepared(self, catalog: Catalog) -> Iterator[str]:
        """A settled database that has just loaded the catalog."""
        self.progress(f"preparing {len(catalog.prices):,} models")
        with self.copied(self.empty) as url:
            self.checked(url, self.offer("A", catalog), catalog.shape)
            self.database.settle(url)
            yield url

    # -- the contestants -------------------------------------------------------------------------------------------

    def ours(self, template: str | None, offered: Offer, shape: Shape = ONE) -> Sample:
        """`syncer sync` on a copy."""
        with self.copied(template) as url:
            return self.checked(url, offered, shape)

    def checked(self, url: str, offered: Offer, shape: Shape = ONE) -> Sample:
        """`syncer sync`, and the run that it left."""
        large = len(offered.body) > _USUAL_BODY
        max_body = 2 * len(offered.body) if large else None
        sample = processes.syncer(self.upstream.url, url, max_body=max_body, trust=offered.trust, shape=shape)
        _require(url, _LATEST, offered.run)
        return sample

    def floor(self, name: str, template: str, offered: Offer, scenario: Scenario) -> Contestant:
        """The floor of this name."""
        place = self.upstream.url + scenario.shape.path
        if name == "start":
            return partial(processes.script, FLOORS / "start.py")
        if name == "F":
            return partial(processes.script, FLOORS / "fetch.py", place, scenario.shape.name)
        return partial(self.raw, template, offered, place)

    def raw(self, template: str, offered: Offer, place: str) -> Sample:
        """The driver alone, on a copy."""
        listed, repriced = offered.run["listed"], offered.run["repriced"]
        what = ("syncs", place, "1") if repriced else ("load", place)
        with self.copied(template) as url:
            sample = processes.script(FLOORS / "raw.py", what[0], place, databases.plain(url), *what[2:])
            _require(url, _WRITTEN, {"changes": listed + repriced})
            return sample

    def syncs(self, template: str, replies: list[Reply], changes: int, script: Path, *what: str) -> Sample:
        """One run of D."""
        self.upstream.reply(*replies)
        with self.copied(template) as url:
            place = databases.plain(url) if what else url
            address = self.upstream.url + (ONE.path if what else "")
            sample = processes.script(script, *what, address, place, str(len(replies)))
            _require(url, _WRITTEN, {"changes": changes})
            return sample

    @contextmanager
    def copied(self, template: str | None) -> Iterator[str]:
        """A copy of a settled database, gone afterwards."""
        url = self.database.create(template)
        try:
            yield url
        finally:
            self.database.drop(url)

    def progress(self, what: str) -> None:
        """Say what is being done."""
        sys.stderr.write(f"{self.database.name}: {what}\n")


def _require(url: str, query: str, expected: Row) -> None:
    """Nobody is fast who did not do the work."""
    found = databases.ask(url, query)
    assert found == expected, f"expected {expected}, the database says {found}"


def take_turns(
    contestants: Mapping[str, Contestant], repeats: int, fewer: Mapping[str, int] | None = None
) -> dict[str, list[Sample]]:
    """Let everybody run so many times (some `fewer`), each time another one first."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn < (fewer or {}).get(name, repeats):
                samples[name].append(contestants[name]())
    return samples
