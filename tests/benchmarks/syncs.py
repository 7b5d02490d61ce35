"""Scenario D: `syncs.py URL DATABASE COUNT`: many syncs in one process; prints the `seconds` of each as JSON."""

import json
import sys
from datetime import UTC, datetime
from time import perf_counter

from syncer.db.engine import open_engine
from syncer.settings import SourceSettings
from tests.benchmarks.processes import KEY
from tests.syncing import sync


def main() -> None:
    """Sync again and again, each time as a whole: lease, fetch, compare, write."""
    url, database, count = sys.argv[1:]
    engine, source = open_engine(database), SourceSettings(url=url)
    seconds = []
    for _ in range(int(count)):
        begin = perf_counter()
        report = sync(engine, source, key=KEY, clock=lambda: datetime.now(UTC), owner="bench")
        seconds.append(perf_counter() - begin)
        assert report.outcome == "changed", report
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
