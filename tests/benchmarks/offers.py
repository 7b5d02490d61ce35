"""What the upstream offers in each scenario, and what must be in the database after it was read. Pure."""

from typing import Any, NamedTuple

from tests.benchmarks.catalogs import Catalog


class Offer(NamedTuple):
    """A response. `run` is the row that a sync must leave (with how many models are missing), `kept` what dlt keeps.

    `trust` is off where the rules of trust would withhold what is to be written.
    """

    body: bytes
    etag: bool
    run: dict[str, Any]
    kept: dict[str, int]
    trust: bool = True


def offer(scenario: str, catalog: Catalog) -> Offer:
    """What A, B0, B1, B2, C or R is about, where all but A come after a sync of the catalog."""
    return _OFFERS[scenario](catalog)


def _first(catalog: Catalog) -> Offer:
    count = len(catalog.prices)
    return Offer(catalog.body(), True, _run("changed", count, added=count), _kept(count))


def _not_modified(catalog: Catalog) -> Offer:
    return Offer(catalog.body(), True, _run("unchanged", None, http_status=304), _kept(len(catalog.prices)))


def _same_bytes(catalog: Catalog) -> Offer:
    return Offer(catalog.body(), False, _run("unchanged", None), _kept(len(catalog.prices)))


def _same_listings(catalog: Catalog) -> Offer:
    count = len(catalog.prices)
    return Offer(catalog.turned().body("Here is the models list."), False, _run("unchanged", count), _kept(count))


def _moved(catalog: Catalog) -> Offer:
    """A removal is believed by dlt at once, by syncer when it is seen again."""
    moved, counts = catalog.moved()
    count = len(moved.prices)
    run = _run("changed", count, added=counts.added, repriced=counts.repriced, missing=counts.removed)
    return Offer(moved.body(), False, run, _kept(count, retired=counts.repriced + counts.removed))


def _all_repriced(catalog: Catalog) -> Offer:
    count = len(catalog.prices)
    run = _run("changed", count, repriced=count)
    return Offer(catalog.repriced().body(), False, run, _kept(count, retired=count), trust=False)


_OFFERS = {
    "A": _first,
    "B0": _not_modified,
    "B1": _same_bytes,
    "B2": _same_listings,
    "C": _moved,
    "R": _all_repriced,
}


def _run(outcome: str, listed: int | None, **others: int) -> dict[str, Any]:
    plain = {"http_status": 200, "added": 0, "repriced": 0, "missing": 0}
    return {"outcome": outcome, "listed": listed, **plain, **others}


def _kept(current: int, retired: int = 0) -> dict[str, int]:
    return {"kept": current + retired, "current": current}
