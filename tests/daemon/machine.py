"""A machine with a daemon: `python -m tests.daemon.machine`, told by one JSON argument what it is.

`database` and `upstream` are URLs, `sources` how many there are, `interval` their seconds, `owner` its name and `ahead`
by how many seconds its clock goes wrong.
"""

import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from syncer import daemon
from syncer.db.engine import open_engine
from syncer.settings import Settings, SourceSettings


def settings_of(told: dict[str, Any]) -> Settings:
    """Sources whose dead syncers are replaced after a few seconds."""
    sources = tuple(
        SourceSettings(
            name=f"source-{number:03}",
            url=told["upstream"],
            interval=timedelta(seconds=told["interval"]),
            deadline=timedelta(seconds=4),
            lease=timedelta(seconds=5),
            trust=False,
        )
        for number in range(told["sources"])
    )
    return Settings(database_url=told["database"], sources=sources)


def main(told: dict[str, Any]) -> int:
    """Runs the daemon until a signal comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    dependencies = daemon.Dependencies(
        engine=open_engine(told["database"]),
        load=lambda: settings_of(told),
        with_credentials=lambda attempt: attempt,
        clock=lambda: datetime.now(UTC) + timedelta(seconds=told["ahead"]),
        owner=told["owner"],
        grace=timedelta(seconds=10),
    )
    return daemon.run(dependencies)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
