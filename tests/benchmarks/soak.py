"""Soak: a simulated year of hourly polls through the daemon itself, with a fast clock and a real upstream on loopback.

What must stay flat is read from the process: memory, file descriptors, threads. The database grows by what changed.
"""

import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from syncer.admin.prune import prune
from syncer.daemon import Daemon, Dependencies
from syncer.db import engine as db
from syncer.settings import Settings, SourceSettings
from tests.upstream import Upstream, model

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODELS = 300
_PATIENCE = 60.0  # seconds for one simulated hour
_WARM = 48  # hours until every cache of every library is filled

Figure = dict[str, Any]


def measure(*, quick: bool) -> list[Figure]:
    """What the process and its database weigh after two days, and at the end of a year (quick: of two weeks)."""
    hours = 14 * 24 if quick else 365 * 24
    figures: list[Figure] = []
    with _daemon() as (live, weigh):
        for hour in range(hours):
            live(hour)
            if hour in {_WARM, hours - 1}:
                figures.append({"hour": hour + 1, **weigh()})
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    names = list(figures[0])
    lines = ["".join(f"{name:>14}" for name in names)]
    lines += ["".join(f"{one[name]:>14}" for name in names) for one in figures]
    return "\n".join(lines) + "\n"


@contextmanager
def _daemon() -> Iterator[tuple[Callable[[int], None], Callable[[], Figure]]]:
    present = [START]
    with tempfile.TemporaryDirectory() as folder, Upstream() as upstream:
        file = Path(folder) / "syncer.db"
        engine = db.open_engine(f"sqlite:///{file}")
        source = SourceSettings(name="soak", url=upstream.url, interval=HOUR)
        settings = Settings(database_url=f"sqlite:///{file}", sources=(source,))
        dependencies = Dependencies(
            engine=engine,
            load=lambda: settings,
            with_credentials=lambda attempt: attempt,
            clock=lambda: present[0],
            owner="soak",
            nightly=lambda: prune(engine, before=present[0] - timedelta(days=90)),
        )
        daemon = Daemon(dependencies)

        def live(hour: int) -> None:
            present[0] = START + HOUR * hour
            upstream.serve([model(f"maker/model-{number}", 1 + _price(number, hour)) for number in range(MODELS)])
            upstream.requests.clear()
            daemon.run_due()
            daemon.each_minute()
            _wait(lambda: daemon.busy == 0)

        yield live, lambda: _weigh(file)
        daemon.hurry.set()
        engine.dispose()


def _price(number: int, hour: int) -> int:
    """One model is repriced every six hours, each in its turn."""
    return (hour // 6 + number) // MODELS


def _wait(done: Callable[[], bool]) -> None:
    deadline = monotonic() + _PATIENCE
    pause = threading.Event()
    while not done():
        assert monotonic() < deadline, "a simulated hour took a minute"
        pause.wait(0.001)


def _weigh(file: Path) -> Figure:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        "rss_mb": round(resident / 1024, 1),
        "database_mb": round(file.stat().st_size / 2**20, 2),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
    }
