"""`python -m tests.benchmarks [--quick] [--json FILE]`: every figure beside its floor, from the same run.

The machine is noisy, so figures are medians, and what counts is the ratio to the floor: the least that a program could
do. --quick stops at 10,000 models and asks a tenth of the history; all of it takes about half an hour.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.benchmarks import fleet, large, pages, questions, soak, speed, targets
from tests.benchmarks.fleet_sizes import SOURCES
from tests.benchmarks.speed import Figure, Plan
from tests.postgres import find_binaries

_DATABASES = ("sqlite", "postgresql")
_REPEATS = {500: 25, 10_000: 7, 100_000: 5}
_QUICK_REPEATS = {500: 5, 10_000: 3}


def main() -> None:
    """Run the benchmarks that are asked for and print their tables."""
    parser = _parser()
    chosen = parser.parse_args()
    if chosen.soak:
        weighed = soak.measure(quick=chosen.quick)
        sys.stdout.write(soak.table(weighed))
        _keep(chosen.json, weighed)
        return
    if chosen.fleet:
        polled = fleet.measure(*((50, 15, 20) if chosen.quick else (chosen.fleet, chosen.interval, 120)))
        sys.stdout.write(fleet.table(polled))
        _keep(chosen.json, {"machine": _machine(), **polled})
        return
    if chosen.large:
        figures = []
        for figure in large.measure(chosen.large, quick=chosen.quick, databases=chosen.database):
            figures.append(figure)  # kept as it goes: it takes hours, and whoever stops it has something
            _keep(chosen.json, {"machine": _machine(), "figures": figures})
        sys.stdout.write(large.table(figures) + targets.verdicts([one for one in figures if "question" in one]))
        return
    names = _scenarios(parser, chosen)
    timed = _speed(chosen, names)
    asked = questions.measure(quick=chosen.quick, databases=chosen.database) if "E" in names else []
    if asked:
        sys.stdout.write(f"\n{questions.table(asked)}{targets.verdicts(asked)}")
    seen = pages.measure(quick=chosen.quick, databases=chosen.database) if "pages" in names else []
    sys.stdout.write(f"\n{pages.table(seen)}" if seen else "")
    measured = {"figures": [_told(one) for one in timed], "questions": asked, "pages": seen}
    _keep(chosen.json, {"machine": _machine(), **measured})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller catalogs and histories, fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to FILE as well")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="scenarios (A B0 B1 B2 C R A4 B24 C4 R4 A16 C16 M2 MC first D E memory pages) or T1..T13",
    )
    parser.add_argument("--sizes", nargs="+", type=int, metavar="MODELS", help="only at these sizes")
    parser.add_argument(
        "--database", nargs="+", choices=(*_DATABASES, "pgbouncer"), default=_DATABASES, help="only these"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="so many repetitions of each")
    parser.add_argument("--dlt", metavar="PYTHON", help="a Python in which dlt is installed (default: this, if it is)")
    parser.add_argument("--soak", action="store_true", help="instead: a simulated year of the daemon")
    parser.add_argument(
        "--large", type=int, nargs="?", const=10_000_000, metavar="ROWS", help="instead: a history of so many changes"
    )
    parser.add_argument(
        "--fleet", type=int, nargs="?", const=SOURCES, metavar="SOURCES", help="instead: so many with four daemons"
    )
    parser.add_argument(
        "--interval", type=int, default=17, metavar="SECONDS", help="how often each of the fleet is due"
    )
    return parser


def _scenarios(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> set[str]:
    every = {*speed.SCENARIOS, "E", "pages"}
    if not chosen.only:
        return every - ({"memory"} if chosen.quick else set())
    about = {name: {name} for name in every} | targets.scenarios()
    if unknown := set(chosen.only) - about.keys():
        names = ", ".join(sorted(about))
        parser.error(f"no scenario or target is called {', '.join(sorted(unknown))}; there are {names}")
    return {name for word in chosen.only for name in about[word]}


def _speed(chosen: argparse.Namespace, names: set[str]) -> list[Figure]:
    usual = _QUICK_REPEATS if chosen.quick else _REPEATS
    sizes = chosen.sizes or list(usual)
    plan = Plan(
        scenarios=names,
        databases=chosen.database,
        repeats={size: chosen.repeats or usual.get(size, 3) for size in sizes},
        usual_repeats=chosen.repeats or (3 if chosen.quick else 9),
        syncs=(100, 1 if chosen.quick else 3),
        dlt=chosen.dlt or (sys.executable if find_spec("dlt") else None),
        dlt_repeats=1 if chosen.quick else 3,
    )
    figures = []
    for figure in speed.measure(plan):
        figures.append(figure)
        sys.stdout.write(("" if figures[1:] else targets.HEADER) + targets.lines(figure))
        sys.stdout.flush()
    return figures


def _told(figure: Figure) -> dict[str, Any]:
    samples = {
        name: [{key: one for key, one in sample._asdict().items() if key != "printed"} for sample in taken]
        for name, taken in figure.samples.items()
    }
    medians = {name: figure.median(name) for name in figure.seconds}
    ratios = {floor: figure.ratio(floor) for floor in figure.floors}
    return {**figure._asdict(), "samples": samples, "medians": medians, "ratios": ratios}


def _machine() -> dict[str, Any]:
    binaries = find_binaries()
    server = [str(binaries / "postgres"), "--version"] if binaries else ["true"]
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": subprocess.run(server, capture_output=True, text=True, check=True).stdout.strip() or None,
    }


def _keep(file: Path | None, figures: Any) -> None:
    if file:
        file.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
