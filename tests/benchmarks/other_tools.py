"""dlt beside syncer: its scd2 merge of the same catalogs. It is no dependency: it runs where it is installed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import databases, processes
from tests.benchmarks.databases import Database
from tests.benchmarks.processes import FLOORS, Sample

_KEPT = "SELECT count(*) AS kept, sum(CASE WHEN _dlt_valid_to IS NULL THEN 1 ELSE 0 END) AS current FROM {}.models"


class State(NamedTuple):
    """A database and dlt's own folder that belongs to it."""

    url: str
    folder: Path


class Dlt(NamedTuple):
    """dlt in the interpreter `python`, asking `url`; `how` is `dicts` or `arrow` (see its script)."""

    python: str
    database: Database
    url: str
    how: str

    @contextmanager
    def state(self, template: State | None = None) -> Iterator[State]:
        """A fresh state, or a copy of a settled one; gone afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            if template:
                shutil.copytree(template.folder, folder, dirs_exist_ok=True)
            url = self.database.create(template.url if template else None)
            try:
                yield State(url, Path(folder))
            finally:
                self.database.drop(url)

    @contextmanager
    def prepared(self, expected: dict[str, Any]) -> Iterator[State]:
        """A settled state that has loaded what is offered now."""
        with self.state() as state:
            self.load(state, expected)
            self.database.settle(state.url)
            yield state

    def load(self, state: State, expected: dict[str, Any]) -> Sample:
        """One run of dlt; how many rows there are then is checked."""
        sqlite = self.database.name == "sqlite"
        place = state.url if sqlite else databases.plain(state.url)
        environment = {
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
            "DLT_DATA_DIR": str(state.folder),
        }
        command = [self.python, str(FLOORS / "dlt_scd2.py"), self.how, self.url, place, str(state.folder)]
        sample = processes.run(command, environment)
        found = databases.ask(state.url, _KEPT.format("main" if sqlite else "bench"))
        assert found == expected, f"expected {expected}, dlt keeps {found}"
        return sample

    def again(self, template: State | None, expected: dict[str, Any]) -> Sample:
        """One run on a copy of a settled state, or on none."""
        with self.state(template) as state:
            return self.load(state, expected)
