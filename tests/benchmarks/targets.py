"""What was promised (T1 to T13), whether it is met, and the tables. A miss is said, never an error."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.benchmarks.speed import MILLION, MODELS_DEV_SIZE, Figure

RATIO, SPEED_UP, PEAK = "x", "x faster", "MB"


class Target(NamedTuple):
    """At most `limit` (for SPEED_UP: at least) of `unit`, against `floor` where it is a ratio."""

    number: int
    scenario: str
    database: str
    models: int
    floor: str
    limit: float
    unit: str


TARGETS = (
    Target(1, "B0", "sqlite", 500, "start", 1.05, RATIO),
    Target(2, "B1", "sqlite", 100_000, "F", 1.1, RATIO),
    Target(2, "B1", "sqlite", 100_000, "", 85, PEAK),
    Target(3, "B2", "sqlite", 100_000, "F", 1.8, RATIO),
    Target(3, "B2", "postgresql", 100_000, "F", 2.0, RATIO),
    Target(4, "C", "sqlite", 100_000, "F", 2.4, RATIO),
    Target(4, "C", "postgresql", 100_000, "F", 2.6, RATIO),
    Target(4, "C4", "sqlite", 100_000, "F", 2.8, RATIO),
    Target(4, "C4", "postgresql", 100_000, "F", 2.8, RATIO),
    Target(5, "A", "sqlite", 100_000, "raw", 1.2, RATIO),
    Target(5, "A", "postgresql", 100_000, "raw", 1.2, RATIO),
    Target(5, "A4", "sqlite", 100_000, "raw", 1.5, RATIO),
    Target(5, "A4", "postgresql", 100_000, "raw", 1.5, RATIO),
    Target(6, "M2", "sqlite", MODELS_DEV_SIZE, "F", 2, RATIO),
    Target(6, "M2", "postgresql", MODELS_DEV_SIZE, "F", 2, RATIO),
    Target(6, "MC", "sqlite", MODELS_DEV_SIZE, "F", 2, RATIO),
    Target(6, "MC", "postgresql", MODELS_DEV_SIZE, "F", 2, RATIO),
    Target(9, "B2", "sqlite", 100_000, "dlt", 10, SPEED_UP),
    Target(9, "B2", "sqlite", 500, "dlt", 3.5, SPEED_UP),
    Target(10, "R", "sqlite", 100_000, "raw", 3, RATIO),
    Target(10, "R", "postgresql", 100_000, "raw", 3, RATIO),
    Target(13, "A", "sqlite", MILLION, "", 1_200, PEAK),
)

QUESTIONS = (
    (7, "price_at", "sqlite", 0.12),
    (7, "price_at", "postgresql", 0.6),
    (7, "price_at, a component", "sqlite", 0.12),
    (7, "price_at, a component", "postgresql", 0.6),
    (8, "catalog_at", "sqlite", 13),
    (8, "catalog_at", "postgresql", 16),
)
"""Targets of scenario E, in milliseconds, on a million rows."""


def scenarios() -> dict[str, set[str]]:
    """T1 to T13 -> the scenarios that they are about."""
    about: dict[str, set[str]] = {f"T{number}": {"E"} for number, *_ in QUESTIONS}
    for target in TARGETS:
        name = "memory" if target.models == MILLION else target.scenario
        about.setdefault(f"T{target.number}", set()).add(name)
    return about


HEADER = (
    f"{'':<7}{'database':<11}{'models':>9}  {'floor':<18}{'ours s':>9}{'floor s':>9}{'ratio':>7}"
    f"{'CPU s':>8}{'ratio':>7}{'peak MB':>9}  target\n"
)


def lines(figure: Figure) -> str:
    """A line of the table for each floor of the figure."""
    return "".join(f"{_line(figure, floor)}\n" for floor in figure.floors or [""])


def verdicts(questions: Sequence[dict[str, object]]) -> str:
    """The targets of scenario E, a line each, as far as they were asked on a million rows."""
    asked = {(one["question"], one["database"]): one for one in questions if one["rows"] == MILLION}
    said = [
        f"T{number} {question} on {database}: {_verdict(float(str(one['median_ms'])), limit, 'ms')}\n"
        for number, question, database, limit in QUESTIONS
        if (one := asked.get((question, database)))
    ]
    return "".join(said)


def value(target: Target, figure: Figure) -> float:
    """What the target is about."""
    if target.unit == RATIO:
        return figure.ratio(target.floor)
    if target.unit == SPEED_UP:
        return 1 / figure.ratio(target.floor)
    return figure.peak_mb()


def _line(figure: Figure, floor: str) -> str:
    compared = f"{figure.median(floor):>9.3f}{figure.ratio(floor):>7.2f}" if floor else " " * 16
    processor = f"{figure.cpu() / figure.cpu(floor):>7.2f}" if floor in figure.samples else " " * 7
    return (
        f"{figure.scenario:<7}{figure.database:<11}{figure.models:>9,}  {floor:<18}{figure.median():>9.3f}{compared}"
        f"{figure.cpu():>8.2f}{processor}{figure.peak_mb():>9.1f}  {_promised(figure, floor)}"
    ).rstrip()


def _promised(figure: Figure, floor: str) -> str:
    """The targets of a line; those that have no floor stand in the figure's first."""
    floors = {floor, ""} if floor == (figure.floors or [""])[0] else {floor}
    where = (figure.scenario, figure.database, figure.models)
    return "; ".join(
        f"T{target.number} {_verdict(value(target, figure), target.limit, target.unit)}"
        for target in TARGETS
        if (target.scenario, target.database, target.models) == where and target.floor in floors
    )


def _verdict(found: float, limit: float, unit: str) -> str:
    at_least = unit == SPEED_UP
    met = found >= limit if at_least else found <= limit
    return f"{found:.4g} {unit} ({'>=' if at_least else '<='} {limit:g} {'met' if met else 'missed'})"
