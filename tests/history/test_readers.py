"""Readers and writers at once: nobody waits, and nobody sees half a run."""

import threading
from decimal import Decimal

from syncer import history
from tests.history.conftest import Calendar, day
from tests.upstream import model


def test_an_open_reader_blocks_no_sync_and_sees_one_moment(calendar: Calendar) -> None:
    """While a reader's transaction is open, a sync commits; the reader goes on seeing the moment of its first row."""
    calendar.on(1, **{f"m{number}": "1" for number in range(1200)})
    url = calendar.engine.url.render_as_string(hide_password=False)
    with history.connect(url) as connection:
        rows = history.changes(connection)
        assert next(rows).id == 1
        calendar.on(2, **{f"m{number}": "2" for number in range(1200)})
        assert sum(1 for _ in rows) == 1199
        assert {row.price for row in history.catalog(connection)} == {Decimal(1)}
        assert history.price_at(connection, "m0", at=day(2)).extrapolated
    with history.connect(url) as connection:
        assert {row.price for row in history.catalog(connection)} == {Decimal(2)}
        assert sum(1 for _ in history.changes(connection)) == 2400


def test_nobody_sees_half_a_run(calendar: Calendar) -> None:
    """Whatever a reader asks between two commits, all models have the price of one run (law 1), feed and all."""
    names = [f"m{number}" for number in range(300)]
    calendar.upstream.serve([model(name, "1") for name in names])
    calendar.poll(1)
    done = threading.Event()
    seen: list[set[Decimal | None]] = []
    ends: list[int] = []

    def read() -> None:
        while not done.is_set():
            with calendar.read() as connection:
                seen.append({row.price for row in history.catalog(connection)})
                seen.append({row.price for row in history.catalog_at(connection, at=day(99))})
                ends.append(max(row.id for row in history.changes(connection)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(2, 8):
            calendar.upstream.serve([model(name, number) for name in names])
            calendar.poll(number)
    finally:
        done.set()
        reader.join()
    assert len(seen) > 2
    assert all(len(prices) == 1 for prices in seen)
    assert all(end % len(names) == 0 for end in ends)
    assert ends == sorted(ends)
