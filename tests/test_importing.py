"""Recorded responses: importing them is as good as having lived through them (law 10), whatever interrupts it."""

import gzip
import json
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy.engine import Engine

from syncer import history
from syncer.admin.verify import verify
from syncer.archive import archive_body
from syncer.attempt import Attempt
from syncer.db import engine as db
from syncer.db import leases
from syncer.errors import BadResponse, SourceBusy, SyncerError, UsageError
from syncer.importing import Recorded, extent, import_observation, import_settings, read_recording
from syncer.settings import SourceSettings, format_of
from tests.faults.child import Job, Nursery
from tests.story import Story, body_of, instant, label
from tests.upstream import Upstream

if TYPE_CHECKING:
    from tests.postgres import Postgres

REPLAY = Path(__file__).parent / "data" / "replay" / "snapshots.jsonl.gz"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
Line = tuple[str, bytes]
"""(when, response)"""


def recorded(lines: list[Line]) -> list[Recorded]:
    """These observations as the lines of a recording."""
    return [
        Recorded(line=n, observed_at=instant(when), body=body, name=f"line {n}")
        for n, (when, body) in enumerate(lines, 1)
    ]


def write(path: Path, lines: list[Line]) -> Path:
    """A recording of these observations; gzipped if its name says so."""
    bodies = [(instant(when).isoformat(), body.decode("utf-8", "surrogateescape")) for when, body in lines]
    rows = [{"observed_at": at, "body": body} for at, body in bodies]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def import_all(
    engine: Engine,
    lines: list[Recorded],
    *,
    name: str = "shop",
    source: SourceSettings | None = None,
    trust: bool = False,
    now: datetime = NOW,
) -> list[str]:
    """Import these observations into `shop`; how each went: its outcome, `failed`, or `there` already."""
    with db.reading(engine) as connection:
        settings = import_settings(leases.stored_record(connection, name), source, name)
    settings = msgspec.structs.replace(settings, trust=trust, trust_date=False)
    attempt = Attempt(
        engine=engine, source=settings, format=format_of(settings), clock=lambda: now, owner="test", kind="import"
    )
    outcomes = []
    for line in lines:
        try:
            report = import_observation(attempt, line)
        except BadResponse:
            outcomes.append("failed")
        else:
            outcomes.append("there" if report is None else report.outcome)
    return outcomes


TOLD = {
    "changes": "SELECT c.* FROM changes c ORDER BY c.id",
    "models": "SELECT m.* FROM models m ORDER BY m.id",
    "prices": "SELECT p.* FROM prices p ORDER BY p.change_id, p.component",
    "notices": "SELECT n.* FROM notices n ORDER BY n.id",
    "findings": "SELECT f.* FROM findings f ORDER BY f.id",
    "rejected": "SELECT j.* FROM rejected_rows j ORDER BY j.digest",
    "sources": "SELECT s.name, s.last_observed_at, s.last_judged_at FROM sources s",
    "runs": "SELECT r.id, r.outcome, r.observed_at, r.added, r.removed, r.relisted, r.repriced, r.updated,"
    " r.rejected, r.withheld, r.error FROM runs r ORDER BY r.id",
}


def told(story: Story) -> dict[str, list[dict[str, Any]]]:
    """All that a database says of the past, row by row; a digest as hexadecimal."""
    return {
        table: [
            {key: value.hex() if isinstance(value, bytes) else value for key, value in vars(row).items()}
            for row in story.ask(query)
        ]
        for table, query in TOLD.items()
    }


def live_and_import(urls: tuple[str, str], upstream: Upstream, lines: list[Line], *, trust: bool) -> None:
    """Live through these responses over HTTP on one database, import them on the other, and compare every row."""
    with Story(urls[0], upstream, trust=trust) as lived, Story(urls[1], upstream) as imported:
        for when, body in lines:
            try:
                lived.sends(when, body)
            except SyncerError:
                assert lived.run.outcome == "failed"
        import_all(imported.engine, recorded(lines), trust=trust)
        imported.check_laws()
        expected, found = told(lived), told(imported)
        for table in TOLD:
            assert _but_the_failed(found[table]) == _but_the_failed(expected[table]), table
        assert {run.kind for run in imported.runs()} == {"import"}


def _but_the_failed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what only one side has: a recording knows no HTTP status, and a failed poll has no time of its own."""
    failed = [row for row in rows if "failed" in {row.get("outcome"), row.get("kind")}]
    for row in failed:
        row.pop("observed_at")
        row.get("data", {}).pop("http_status", None)
    return rows


# -- law 10 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [False, True], ids=["trust off", "trust on"])
def test_the_replay_imported_is_the_replay_lived(
    tmp_path: Path, database_url: str, upstream: Upstream, trust: bool
) -> None:
    """Law 10: five months imported are, row for row, ids and windows included, the five months lived through."""
    lines = [(label(line.observed_at), line.body) for line in read_recording(REPLAY)]
    live_and_import((f"sqlite:///{tmp_path / 'lived.db'}", database_url), upstream, lines, trust=trust)


@pytest.mark.parametrize("seed", range(6))
def test_a_wandering_catalog_imported_is_the_same_lived(tmp_path: Path, upstream: Upstream, seed: int) -> None:
    """Law 10: so is any sequence of good, equal, broken and half-readable responses, with trust on and off."""
    lines = wandering(random.Random(seed), 30)
    urls = (f"sqlite:///{tmp_path / 'lived.db'}", f"sqlite:///{tmp_path / 'imported.db'}")
    live_and_import(urls, upstream, lines, trust=seed % 2 == 0)


def wandering(chance: random.Random, polls: int) -> list[Line]:
    """Responses that go through everything that can happen to a catalog, eight hours apart."""
    names, prices = [f"m{n}" for n in range(7)], [None, "0", "-1", "0.1", "0.3", "40", "40000"]
    offered = dict.fromkeys(names, "1")
    lines: list[Line] = []
    for poll in range(polls):
        for name in chance.sample(names, chance.choice([0, 0, 1, 2, 5])):
            offered[name] = chance.choice(prices) if offered.pop(name, None) is None else "1"  # type: ignore[assignment]
            if chance.random() < 0.4:
                del offered[name]
        faults = [{"model_name": "m1", "price": "free"}, {"price": 1}]
        rows = [chance.choice(faults)] if chance.random() < 0.15 else []
        body = body_of(*rows, **offered) if chance.random() > 0.1 else chance.choice([b"<html>", b"\xff\xfe", b"{}"])
        lines.append((label(instant("01-01") + timedelta(hours=8 * poll)), body))
    return lines


# -- what `sync --save-bodies` keeps -----------------------------------------------------------------------------------


def test_saved_bodies_rebuild_the_history(tmp_path: Path, database_url: str, upstream: Upstream) -> None:
    """Bodies kept by real syncs, broken ones too, rebuild the same history; a window can only be wider, not wrong."""
    with Story(database_url, upstream, trust=True) as lived:
        lived.archive = partial(archive_body, tmp_path / "bodies")
        lived.on("01-03", A="1", B="2").again("01-03 01:00").again("01-03 02:00")
        lived.failing("01-04", b'{"status": "failed", "message": "\xff\xed\xb2\x80"}')
        lived.on("01-30", A="1", B="3").on("02-02", A="1").on("02-04", A="1").on("02-05", A="1", C="5")
        expected = told(lived)
    files = sorted((tmp_path / "bodies").iterdir())
    assert [file.name for file in files] == ["shop-2026-01.jsonl.gz", "shop-2026-02.jsonl.gz"]
    with Story(f"sqlite:///{tmp_path / 'imported.db'}", upstream) as imported:
        lines = [line for file in files for line in read_recording(file)]
        assert import_all(imported.engine, lines, trust=True).count("failed") == 1
        found = told(imported)
    windows = [[row.pop("changed_after") for row in each["changes"]] for each in (found, expected)]
    runs = [{row.pop("run_id") for row in each["changes"]} for each in (found, expected)]
    assert len(runs[0]) == len(runs[1])
    assert found["changes"] == expected["changes"]
    assert [name for row in found["changes"] for name in [row["kind"]]] == ["added"] * 2 + [
        "repriced",
        "removed",
        "added",
    ]
    assert windows == [[None, None, "01-03", "01-30", "02-04"], [None, None, "01-03 02:00", "01-30", "02-04"]]


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where killed processes come from."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SYNCER_", "PG"))}
    with Nursery(clean) as started:
        yield started
        started.end()


HISTORY: list[Line] = [
    ("01-01", body_of(A="1", B="2", C="3")),
    ("01-02", body_of(A="2", B="2", C="3")),
    ("01-03", b"<html>down for maintenance</html>"),
    ("01-04", body_of(A="2", B="2", C="3")),
    ("01-05", body_of(A="2", B="4")),
    ("01-06", b"<html>down for maintenance</html>"),
    ("01-07", body_of(B="4", C="3")),
]


@pytest.fixture
def copies(request: pytest.FixtureRequest, database_url: str) -> Callable[[int], str]:
    """Gives a new database of the same kind."""

    def copy(number: int) -> str:
        if database_url.startswith("sqlite"):
            return f"{database_url}.{number}"
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.create_database(template=request.getfixturevalue("migrated"))

    return copy


@pytest.mark.faults
def test_kill_9_and_go_on(tmp_path: Path, upstream: Upstream, nursery: Nursery, copies: Callable[[int], str]) -> None:
    """Laws 1 and 10: an import killed anywhere goes on where it was, and ends in the history of one never killed."""
    file = write(tmp_path / "history.jsonl", HISTORY)
    job = Job(command=("import", str(file), "--source", "shop", "--trust", "off"))
    with Story(copies(0), upstream) as whole:
        (ended,) = nursery.run(_at(job, whole.url))
        assert ended.code == 1, ended.said
        assert whole.outcomes == ["changed", "changed", "failed", "unchanged", "changed", "failed", "changed"]
        expected = _effects(whole)
    later = datetime.now(UTC) + timedelta(minutes=30)  # when the lease of a dead one is over
    ends = []
    for number in range(1, 9):
        with Story(copies(number), upstream) as killed:
            (ended,) = nursery.run(_at(job, killed.url, signal=signal.SIGKILL, at_point=number * 31))
            ends.append(ended.code)
            outcomes = import_all(killed.engine, list(read_recording(file)), now=later)
            assert number < 4 or "there" in outcomes
            killed.check_laws()
            assert _effects(killed) == expected, number
    assert ends.count(-signal.SIGKILL) >= 6, ends


def _at(job: Job, url: str, **fields: Any) -> Job:
    return msgspec.structs.replace(job, environment={"SYNCER_DATABASE_URL": url}, **fields)


def _effects(story: Story) -> dict[str, list[dict[str, Any]]]:
    """What was told, without the numbers that a killed run uses up."""
    everything = told(story)
    del everything["runs"]
    for rows in everything.values():
        for row in rows:
            for name in ("source_id", "run_id", "model_id", "first_run_id", "last_run_id", "opened_run_id"):
                row.pop(name, None)
    for row in everything["models"]:
        del row["id"]
    return everything


def test_again_from_the_start(database_url: str, upstream: Upstream) -> None:
    """Lines that are in already are passed over; a body that failed last is tried again, as nothing came after it."""
    lines = recorded(HISTORY)
    with Story(database_url, upstream) as story:
        assert import_all(story.engine, lines[:3]) == ["changed", "changed", "failed"]
        assert import_all(story.engine, lines[:3]) == ["there", "there", "failed"]
        assert import_all(story.engine, lines) == [
            *["there"] * 2,
            "failed",
            "unchanged",
            "changed",
            "failed",
            "changed",
        ]
        before = told(story)
        assert import_all(story.engine, lines) == ["there"] * 7
        assert told(story) == before
        assert {run.kind for run in story.runs()} == {"import"}


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_not_later_is_refused(database_url: str, upstream: Upstream) -> None:
    """Another response at or before what the source has seen is refused with both times; what was applied stays."""
    with Story(database_url, upstream) as story:
        import_all(story.engine, recorded([("01-01", body_of(A="1")), ("01-03", body_of(A="2"))]))
        for when in ("01-02", "01-03", "2026-01-03"[5:]):
            with pytest.raises(
                UsageError, match=r"line 1 was observed at 2026-01-0\d.* already been observed at 2026-01-03"
            ):
                import_all(story.engine, recorded([(when, body_of(A="9"))]))
            assert story.run.outcome == "failed"
        assert story.changes() == ["01-01 added A 1", "01-03 repriced A 1 -> 2"]
        assert import_all(story.engine, recorded([("01-03 00:00:00.000001", body_of(A="9"))])) == ["changed"]


def test_what_failed_may_be_tried_again_and_nothing_else_before_it(database_url: str, upstream: Upstream) -> None:
    """Law 5: times rise past that of a response which an import failed on; but that is no observation of the source."""
    one, two = ("01-01", b"<html>"), ("01-03", b"<html></html>")
    with Story(database_url, upstream, trust=False) as story:
        assert import_all(story.engine, recorded([one, two])) == ["failed", "failed"]
        with pytest.raises(UsageError, match="failed on a response at 2026-01-03"):
            import_all(story.engine, recorded([("01-02", body_of(A="1"))]))
        assert import_all(story.engine, recorded([one, two, ("01-04", body_of(A="1"))])) == [
            *("failed", "failed", "changed")
        ]
        assert import_all(story.engine, recorded([("01-05 00:04", b"<html>")]), now=instant("01-05")) == ["failed"]
        assert [verdict for verdict in verify(story.engine) if not verdict.ok] == []
        assert story.on("01-05 00:01", A="2").run.observed_at == "01-05 00:04:00.000001"
        assert import_all(story.engine, recorded([one, two])) == ["there", "there"]
        with db.reading(story.engine) as connection:
            quote = history.price_at(connection, "A", at=instant("01-02"))
        assert (quote.listed, quote.first_observed_at) == (None, instant("01-04"))
        assert [verdict for verdict in verify(story.engine) if not verdict.ok] == []


def test_a_failed_import_is_no_observation_under_another_key(sqlite_url: str, upstream: Upstream) -> None:
    """It had no key: an absence after it is still judged as one under the key that last showed the model."""
    shelf = {f"M{number}": "1" for number in range(9)}
    with Story(sqlite_url, upstream) as story:
        story.on("01-01", **shelf, gone="1")
        assert import_all(story.engine, recorded([("01-02", b"<html>")])) == ["failed"]
        story.on("01-03", **shelf).on("01-04 04:00", **shelf)
        assert story.changes("gone")[-1] == "01-03 removed gone"


def test_what_is_still_to_come_is_refused(sqlite_url: str, upstream: Upstream) -> None:
    """Law 5: a time beyond the clock is refused, since no live sync could be taken until then."""
    with Story(sqlite_url, upstream) as story:
        now = instant("01-01")
        assert import_all(story.engine, recorded([("01-01 00:05", body_of(A="1"))]), now=now) == ["changed"]
        with pytest.raises(UsageError, match="still to come: this machine's clock says 2026-01-01"):
            import_all(story.engine, recorded([("01-01 00:05:00.000001", body_of(A="2"))]), now=now)
        assert story.changes() == ["01-01 00:05 added A 1"]


def test_a_busy_source(database_url: str, upstream: Upstream) -> None:
    """Law 7: a live sync that holds the lease keeps the import out; nothing of it is written."""
    with Story(database_url, upstream) as story:
        with db.writing(story.engine) as connection:
            record = leases.SourceRecord(name="shop", url=upstream.url, format="serverless", headline="price")
            minute = timedelta(minutes=1)
            leases.acquire(connection, record, kind="sync", owner="other:1", now=NOW, lasts=minute, key=None)
        with pytest.raises(SourceBusy, match="shop is being synced by other:1"):
            import_all(story.engine, recorded(HISTORY))
        assert story.outcomes == ["running"]


# -- beside live syncs -------------------------------------------------------------------------------------------------


def test_live_syncs_go_on_after_an_import(database_url: str, upstream: Upstream) -> None:
    """An imported past and a live present are one history; into a live history nothing older can be imported."""
    with Story(database_url, upstream, trust=False) as story:
        import_all(story.engine, recorded([("01-01", body_of(A="1", B="1"))]))
        assert story.shop.url == "(imported)"
        story.on("01-02", A="2", B="1").on("01-03", A="2").again("01-04")
        assert story.changes() == [
            *("01-01 added A 1", "01-01 added B 1"),
            *("01-02 repriced A 1 -> 2", "01-03 removed B"),
        ]
        assert [run.kind for run in story.runs()] == ["import", "sync", "sync", "sync"]
        assert story.shop.url.startswith(upstream.url)
        with pytest.raises(UsageError, match="already been observed"):
            import_all(story.engine, recorded([("01-03 12:00", body_of(A="7"))]))


def test_an_import_without_settings_keeps_what_is_stored(sqlite_url: str, upstream: Upstream) -> None:
    """Where a source has no settings, its stored currency, units and URL stay; where it has, they count."""
    units = {"price": {"Text": (1000, "token")}}
    with Story(sqlite_url, upstream, trust=False, currency="USD", price_units=units) as story:
        story.on("01-01", A="1")
        url = story.shop.url
        import_all(story.engine, recorded([("01-02", body_of(A="2"))]))
        assert (story.shop.url, story.shop.currency, story.shop.price_units) == (
            url,
            "USD",
            {"price": {"Text": [1000, "token"]}},
        )
        euros = SourceSettings(name="shop", url=upstream.url, currency="EUR")
        import_all(story.engine, recorded([("01-03", body_of(A="3"))]), source=euros)
        assert (story.shop.url, story.shop.currency, story.shop.price_units) == (url, "EUR", None)


# -- reading a recording -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain.jsonl", "zipped.jsonl.gz", "zipped without saying so"])
def test_plain_and_gzipped(tmp_path: Path, name: str) -> None:
    """Gzip is known by its bytes, whatever the file is called; several members are one file; blank lines are none."""
    lines = [("01-01", body_of(A="1")), ("01-02 03:04:05.000006", b"\xff not UTF-8 \xed\xb2\x80 \xe2\x82\xac")]
    path = write(tmp_path / "some.gz", lines[:1])
    path.write_bytes(path.read_bytes() + gzip.compress(b"\n") + write(tmp_path / "more.gz", lines[1:]).read_bytes())
    if name.startswith("plain"):
        path.write_bytes(gzip.decompress(path.read_bytes()))
    path = path.rename(tmp_path / name)
    found = list(read_recording(path))
    assert [(label(line.observed_at), line.body) for line in found] == lines
    assert [line.line for line in found] == [1, 3]
    assert extent(path) == (2, instant(lines[1][0]))


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """A recording may come through a pipe: it is opened once and never counted."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert extent(pipe) is None
    data = write(tmp_path / "history.gz", HISTORY).read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    assert len(list(read_recording(pipe))) == len(HISTORY)
    writer.join()


GOOD = b'{"observed_at": "2026-01-01T00:00:00Z", "body": "x"}\n'
BAD: dict[bytes, str] = {
    b"nonsense": "line 2 is not a recorded response: it is not JSON",
    b"[" * 100_000: "it is not JSON",
    b'{"observed_at": "2026-01-01T00:00:00Z", "body": "x"': "it is not JSON",
    b"[1]": "it is not a JSON object",
    b'{"body": "x"}': "it has no 'observed_at'",
    b'{"observed_at": 1767225600, "body": "x"}': "it has no 'observed_at', or one that is not text",
    b'{"observed_at": "2026-01-01T00:00:00Z"}': "it has no 'body'",
    b'{"observed_at": "2026-01-01T00:00:00Z", "body": {"data": []}}': "it has no 'body', or one that is not text",
    b'{"observed_at": "yesterday", "body": "x"}': "observed_at 'yesterday' is not a time",
    b'{"observed_at": "2026-01-01T00:00:00", "body": "x"}': "observed_at '2026-01-01T00:00:00' has no time zone",
    b'{"observed_at": "0001-01-01T00:00:00+05:00", "body": "x"}': "is not a time",
    b'{"observed_at": "2026-01-01T00:00:00Z", "body": "\\ud800"}': "a lone surrogate that stands for no byte",
    b"\xff\xfe\x00": "is not a recorded response",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:50].decode("ascii", "replace"))
def test_a_bad_line_is_named(tmp_path: Path, line: bytes) -> None:
    """A line that is not a recorded response raises UsageError with its number, what is wrong, and what is expected."""
    path = tmp_path / "history.jsonl"
    path.write_bytes(GOOD + line + b"\n" + GOOD)
    lines = read_recording(path)
    assert next(lines).line == 1
    with pytest.raises(UsageError, match=re.escape(BAD[line])) as caught:
        next(lines)
    assert "history.jsonl, line 2" in str(caught.value)
    assert "Expected: {" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:60] + bytes(50) + data[110:]])
def test_a_damaged_file(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A gzip file that is cut off or damaged raises UsageError that names it, never a traceback of the library."""
    path = tmp_path / "history.jsonl.gz"
    path.write_bytes(damage(write(path, HISTORY).read_bytes()))
    with pytest.raises(UsageError, match=r"history\.jsonl\.gz cannot be read"):
        list(read_recording(path))
