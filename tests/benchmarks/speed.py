"""Scenarios A to D: whole processes of ours beside whole processes of each floor, taking turns, from the same state.

- A: first load into a database that has the schema. B0: a 304. B1: the same bytes without an ETag. B2: the same
  listings, other bytes (order and envelope). C: 1 % repriced, 0.1 % added, 0.1 % removed. D: 100 syncs in one process.
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
from tests.upstream import Reply, Upstream

SCENARIOS = ("first", "A", "B0", "B1", "B2", "C", "D", "memory")
MILLION = 1_000_000
_FLOORS = {"A": ("raw", "F"), "B0": ("start",), "B1": ("start", "F"), "B2": ("F",), "C": ("F",)}
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

    def cpu(self) -> float:
        """Median seconds of processor of our process."""
        return statistics.median(sample.cpu for sample in self.samples["ours"])

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
                yield from bench.sized(models)
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

    def sized(self, models: int) -> Iterator[Figure]:
        """The scenarios A to C at one size."""
        wanted = [name for name in _FLOORS if name in self.plan.scenarios]
        if not wanted:
            return
        catalog = Catalog.of(models)
        with ExitStack() as stack:
            prepared = stack.enter_context(self.prepared(catalog))
            others = self.others(stack, models) if _OTHERS_IN.intersection(wanted) else {}
            for scenario in wanted:
                yield self.scenario(scenario, catalog, prepared, others if scenario in _OTHERS_IN else {})

    def scenario(
        self, scenario: str, catalog: Catalog, prepared: str, others: Mapping[str, tuple[Dlt, State]]
    ) -> Figure:
        """One of A to C."""
        models = len(catalog.prices)
        repeats = self.plan.repeats[models]
        self.progress(f"{scenario} at {models:,} models, {repeats} times")
        offered = self.offer(scenario, catalog)
        template = self.empty if scenario == "A" else prepared
        contestants: dict[str, Contestant] = {"ours": partial(self.ours, template, offered)}
        contestants |= {floor: self.floor(floor, models) for floor in _FLOORS[scenario]}
        contestants |= {
            name: partial(tool.again, None if scenario == "A" else state, offered.kept)
            for name, (tool, state) in others.items()
        }
        samples = take_turns(contestants, repeats, fewer=dict.fromkeys(others, self.plan.dlt_repeats))
        seconds: dict[str, list[float]] = {}
        for name, taken in samples.items():
            seconds[name] = [sample.wall for sample in taken]
            if name == "raw":
                seconds["raw, writing only"] = [sample.said()["write_seconds"] for sample in taken]
        return Figure(scenario, self.database.name, models, samples, seconds)

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
            self.checked(url, self.offer("A", catalog))
            self.database.settle(url)
            yield url

    # -- the contestants -------------------------------------------------------------------------------------------

    def ours(self, template: str | None, offered: Offer) -> Sample:
        """`syncer sync` on a copy."""
        with self.copied(template) as url:
            return self.checked(url, offered)

    def checked(self, url: str, offered: Offer) -> Sample:
        """`syncer sync`, and the run that it left."""
        large = len(offered.body) > _USUAL_BODY
        sample = processes.syncer(self.upstream.url, url, max_body=2 * len(offered.body) if large else None)
        _require(url, _LATEST, offered.run)
        return sample

    def floor(self, name: str, models: int) -> Contestant:
        """The floor of this name."""
        if name == "raw":
            return partial(self.raw_load, models)
        arguments = [self.upstream.url] if name == "F" else []
        return partial(processes.script, FLOORS / {"F": "fetch.py", "start": "start.py"}[name], *arguments)

    def raw_load(self, models: int) -> Sample:
        """The driver alone, into a copy of the empty database."""
        with self.copied(self.empty) as url:
            sample = processes.script(FLOORS / "raw.py", "load", self.upstream.url, databases.plain(url))
            _require(url, _WRITTEN, {"changes": models})
            return sample

    def syncs(self, template: str, replies: list[Reply], changes: int, script: Path, *what: str) -> Sample:
        """One run of D."""
        self.upstream.reply(*replies)
        with self.copied(template) as url:
            place = databases.plain(url) if what else url
            sample = processes.script(script, *what, self.upstream.url, place, str(len(replies)))
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
