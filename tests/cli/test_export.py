"""`syncer export`: the history for a warehouse, exact, in constant memory, and never half a file."""

import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from syncer import exports, history
from syncer.attempt import Attempt
from syncer.db import engine as db
from syncer.db.tables import changes, feed, models, runs, sources
from syncer.errors import UsageError
from syncer.importing import Recorded, import_observation
from syncer.settings import SourceSettings, format_of
from tests.cli.home import Home
from tests.conftest import clean_environment
from tests.faults.child import Job, Nursery
from tests.upstream import Upstream, catalog_body, model

PRICES = ["0.1", "0.2", "123456789012.345", "0.000000000000000001", "999999999999999", "-1", "0", None]


def poll(home: Home, at: datetime, *rows: dict[str, Any], name: str = "shop") -> None:
    """One observation at these models, of that time."""
    recorded = Recorded(line=1, name="line 1", observed_at=at, body=catalog_body(list(rows)))
    with home.engine() as engine:
        source = SourceSettings(name=name, url="https://example.com", trust=False)
        attempt = Attempt(
            engine=engine, source=source, format=format_of(source), clock=lambda: at, owner="test", kind="import"
        )
        import_observation(attempt, recorded)


def live(home: Home, first: datetime, count: int, name: str = "shop") -> None:
    """So many observations, eleven days apart, at two models whose prices move each time."""
    for number in range(count):
        texts = (PRICES[number % len(PRICES)], PRICES[(number * 3 + 1) % len(PRICES)])
        rows = [model(f"acme/{n}", None if text is None else Decimal(text)) for n, text in enumerate(texts)]
        poll(home, first + timedelta(days=11 * number), *rows, name=name)


def lake(home: Home, *arguments: str) -> str:
    """Export to Parquet into `lake`; the pattern of its files."""
    said = home.syncer("export", *arguments, "--format", "parquet", "-o", "lake")
    assert said.code == 0, said.err
    return str(home.path / "lake" / "*" / "*.parquet")


def ask(query: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers, in UTC."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query).fetchall()


def exact_sum(prices: Iterable[Decimal]) -> Decimal:
    """Their sum to the last digit; Python's own context rounds to 28."""
    with localcontext(prec=60):
        return sum(prices, Decimal(0))


@contextmanager
def reading(home: Home) -> Iterator[sa.Connection]:
    """The home's database, to look at."""
    with home.engine() as engine, db.reading(engine) as connection:
        yield connection


# -- the same rows in each form ----------------------------------------------------------------------------------------


def test_parquet_is_the_history(any_home: Home) -> None:
    """Law 4: what DuckDB reads back is the history row for row: prices exact, times in UTC, sums equal to the digit."""
    live(any_home, datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC), 16)
    files = lake(any_home)
    with reading(any_home) as connection:
        expected = list(exports.changes(connection))
        prices = [row.price for row in history.changes(connection) if row.price is not None]
    found = ask(f"SELECT {', '.join(exports.CHANGES.columns)} FROM '{files}' ORDER BY id")
    changed = exports.CHANGES.columns.index("changed")
    assert [tuple(json.loads(v) if i == changed else v for i, v in enumerate(row)) for row in found] == [
        tuple(_plain(v) if i == changed else v for i, v in enumerate(row)) for row in expected
    ]
    ((total, count),) = ask(f"SELECT sum(price), count(price) FROM '{files}'")
    assert (total, count) == (exact_sum(prices), len(prices))
    types = {name: kind for name, kind, *_ in ask(f"DESCRIBE SELECT * FROM '{files}'")}
    assert (types["price"], types["old_price"]) == ("DECIMAL(33,18)", "DECIMAL(33,18)")
    assert {types[name] for name in ("observed_at", "effective_at", "changed_after")} == {"TIMESTAMP WITH TIME ZONE"}


def _plain(changed: dict[str, Any]) -> Any:
    return json.loads(json.dumps(changed, default=float))


def test_months_are_partitions(home: Home) -> None:
    """Each month is a directory of its own, which readers know as the column `month`: that of observed_at, in UTC."""
    live(home, datetime(2026, 1, 20, tzinfo=UTC), 4)
    files = lake(home)
    query = f"SELECT month, count(*) FROM read_parquet('{files}', hive_partitioning=true) GROUP BY month ORDER BY month"
    assert ask(query) == [("2026-01", 4), ("2026-02", 4)]
    outside = f"SELECT count(*) FROM '{files}' WHERE strftime(observed_at, '%Y-%m') <> split_part(filename, '=', 2)[:7]"
    assert ask(outside.replace(f"'{files}'", f"read_parquet('{files}', filename=true)")) == [(0,)]


def test_old_months_that_come_late(any_home: Home) -> None:
    """The past of a source imported after another one's lands in its own months, twice over, every row once."""
    live(any_home, datetime(2026, 3, 1, tzinfo=UTC), 9)
    live(any_home, datetime(2025, 11, 1, tzinfo=UTC), 17, name="older")
    files = lake(any_home)
    ids = [row[0] for row in ask(f"SELECT id FROM '{files}' ORDER BY id")]
    with reading(any_home) as connection:
        assert ids == [row.id for row in history.changes(connection)]
    months = sorted(path.name for path in (any_home.path / "lake").iterdir())
    assert months == [f"month={month}" for month in ("2025-11", "2025-12", *(f"2026-0{n}" for n in range(1, 6)))]


def test_going_on(any_home: Home) -> None:
    """Over several exports with --after no row is lost or doubled; an export of nothing keeps its position."""
    first = datetime(2026, 1, 28, tzinfo=UTC)
    arguments: tuple[str, ...] = ()
    for number in range(4):
        for day in range(3):
            at = first + timedelta(days=3 * number + day)
            poll(any_home, at, model("a", number * 10 + day), model("b", day))
        said = any_home.syncer("export", *arguments, "--format", "parquet", "-o", "lake")
        with reading(any_home) as connection:
            end = history.feed_end(connection)
        assert said.err.endswith(f"rows: the next export goes on with --after {end}\n")
        arguments = ("--after", str(end))
    said = any_home.syncer("export", *arguments, "--format", "parquet", "-o", "lake")
    assert (said.code, said.err) == (0, f"0 rows: the next export goes on with {' '.join(arguments)}\n")
    ids = [row[0] for row in ask(f"SELECT id FROM '{any_home.path}/lake/*/*.parquet' ORDER BY id")]
    assert ids == list(range(1, int(arguments[1]) + 1))
    assert len(list((any_home.path / "lake").rglob("*.parquet"))) == 5, "one a month and export"


def test_the_same_again(home: Home) -> None:
    """The same export again writes the same files over: nothing is doubled."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 9)
    files = lake(home)
    before = {path: path.read_bytes() for path in (home.path / "lake").rglob("*") if path.is_file()}
    assert lake(home) == files
    assert {path: path.read_bytes() for path in (home.path / "lake").rglob("*") if path.is_file()} == before


def test_json_lines_and_csv(any_home: Home) -> None:
    """JSON lines and CSV hold the same rows, exactly; the CSV is safe in a spreadsheet."""
    live(any_home, datetime(2026, 1, 1, tzinfo=UTC), 8)
    poll(any_home, datetime(2026, 6, 1, tzinfo=UTC), model("=cmd()", 1))
    lines = any_home.syncer("export")
    rows = [json.loads(line, parse_float=Decimal) for line in lines.out.splitlines()]
    sheet = list(csv.DictReader(io.StringIO(any_home.syncer("export", "--format", "csv").out)))
    with reading(any_home) as connection:
        found = list(history.changes(connection))
    assert [row["price"] for row in rows] == [row.price for row in found]
    assert [row["prices.price"] for row in sheet] == ["" if row.price is None else f"{row.price:f}" for row in found]
    assert {tuple(row) for row in rows} == {exports.CHANGES.columns}
    flat = tuple("prices.price" if name == "prices" else name for name in exports.CHANGES.columns)
    assert {tuple(row) for row in sheet} == {flat}, "a column for each component"
    assert [row["model"] for row in rows][-3:] == [row["model"].replace("'=", "=") for row in sheet][-3:]
    assert "'=cmd()" in {row["model"] for row in sheet}
    assert rows[2]["changed"]["prices.price"] == [rows[0]["price"], rows[2]["price"]]
    assert lines.err == f"{len(rows)} rows: the next export goes on with --after {len(rows)}\n"


def test_filters(home: Home) -> None:
    """--since, --until, --source and --after cut what is exported, and what cannot be is refused."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 4)
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 4, name="two")

    def ids(*arguments: str) -> list[int]:
        return [row["id"] for row in home.syncer("export", *arguments).json]

    assert ids("--source", "two") == list(range(9, 17))
    assert ids("--since", "2026-01-12", "--until", "2026-01-23") == [3, 4, 11, 12]
    assert ids("--after", "12", "--since", "2026-01-23") == [13, 14, 15, 16]
    for arguments, words in {
        ("--after", "99"): "the feed ends at 16",
        ("--after", "-1"): "x>=0",
        ("--source", "x"): "it has: shop, two",
        ("daily-prices", "--after", "1"): "--after is a feed id",
        ("daily-prices", "--source", "x"): "it has: shop, two",
        ("--format", "parquet"): "name it with --output",
    }.items():
        said = home.syncer("export", *arguments)
        assert (said.code, said.out) == (2, "")
        assert words in said.err


# -- daily prices ------------------------------------------------------------------------------------------------------


def test_daily_prices(any_home: Home) -> None:
    """Daily prices leave in each form as the view has them, in Parquet with real dates, in monthly partitions."""
    live(any_home, datetime(2026, 1, 20, 15, tzinfo=UTC), 4)
    files = lake(any_home, "daily-prices")
    with reading(any_home) as connection:
        view = [tuple(row) for row in exports.daily_prices(connection)]
    assert len(view) == 2 * 34
    rows = ask(f"SELECT CAST(day AS TEXT), source, model, type, component, price FROM '{files}' ORDER BY ALL")
    assert rows == sorted((row[:6] for row in view), key=lambda row: row[:5])
    assert ask(f"SELECT sum(price) FROM '{files}'") == [(exact_sum(row[5] for row in view if row[5] is not None),)]
    assert {kind for _, kind, *_ in ask(f"DESCRIBE SELECT day FROM '{files}'")} == {"DATE"}
    lines = any_home.syncer("export", "daily-prices", "--since", "2026-01-31", "--until", "2026-02-02")
    assert [row["day"] for row in lines.json] == ["2026-01-31"] * 2 + ["2026-02-01"] * 2
    assert lines.err == "4 rows\n"
    later = any_home.syncer("export", "daily-prices", "--since", "2026-01-31T00:00:01Z", "--until", "2026-02-01T00:01Z")
    assert {row["day"] for row in later.json} == {"2026-02-01"}, "days that begin in the time asked for"


# -- a long history ----------------------------------------------------------------------------------------------------

LONG, MODELS = 40_000, 1_000


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A database with LONG changes, to copy."""
    folder = tmp_path_factory.mktemp("long")
    shutil.copy(migrated, folder / "syncer.db")
    with Upstream() as upstream:
        fill(Home(folder, f"sqlite:///{folder / 'syncer.db'}", upstream), LONG // MODELS)
    return folder / "syncer.db"


def fill(home: Home, days: int) -> None:
    """Write a long history in bulk: many models, each repriced every two days."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    known = {"source_id": 1, "extra": {}, "digest": b"", "first_seen_at": start, "last_changed_at": start}
    known |= {"parser": "p", "prices": {"price": None}}
    row = {"source_id": 1, "changed": {}, "description": "what it is good for " * 20}
    with home.engine() as engine, db.writing(engine) as connection:
        source = {"id": 1, "name": "shop", "url": "x", "created_at": start, "salt": b"", "last_observed_at": start}
        source |= {"format": "serverless", "headline": "price"}
        connection.execute(sources.insert().values(source))
        connection.execute(models.insert(), [{**known, "id": n + 1, "name": f"acme/{n}"} for n in range(MODELS)])
        for number in range(days):
            at = start + timedelta(days=2 * number)
            run = {"id": number + 1, "source_id": 1, "kind": "sync", "started_at": at, "observed_at": at}
            connection.execute(runs.insert().values(run | {"outcome": "changed"}))
            day = row | {"run_id": number + 1, "observed_at": at, "effective_at": at, "price": Decimal(number)}
            day |= {"kind": "repriced" if number else "added", "prices": {"price": Decimal(number)}}
            values = [sa.literal(value, changes.c[name].type) for name, value in day.items()]
            of_each = sa.select(models.c.id + number * MODELS, models.c.id, models.c.name, *values).order_by(
                models.c.id
            )
            connection.execute(changes.insert().from_select(["id", "model_id", "name", *day], of_each))
        connection.execute(sa.update(feed).values(last_id=days * MODELS))


# -- files -------------------------------------------------------------------------------------------------------------


def left_behind(folder: Path) -> list[str]:
    """All files in it, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file(home: Home) -> None:
    """--output replaces a file, or what a link points to, once it is whole."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 2)
    (home.path / "out").mkdir()
    target = home.path / "out" / "target.jsonl"
    (home.path / "link").symlink_to(target)
    target.write_text("old")
    assert home.syncer("export", "-o", "link").out == ""
    assert len(target.read_text().splitlines()) == 4
    assert (home.path / "link").is_symlink()
    assert left_behind(home.path / "out") == ["target.jsonl"]


def test_a_pipe(home: Home) -> None:
    """A pipe or device is written as it is, and never replaced by a file."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 2)
    (home.path / "out").mkdir()
    pipe = home.path / "out" / "pipe"
    os.mkfifo(pipe)
    with home.started("export", "-o", str(pipe)) as child:
        with pipe.open() as lines:
            assert len(lines.readlines()) == 4
        assert child.wait(60) == 0
    assert pipe.is_fifo()
    assert [path.name for path in (home.path / "out").iterdir()] == ["pipe"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_where_nothing_can_be_written(home: Home, kind: str) -> None:
    """A place that cannot be written exits 2 and names it; nothing is left there."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 2)
    (home.path / "file").write_text("x")
    said = home.syncer("export", "--format", kind, "-o", "file/below")
    assert (said.code, said.out) == (2, "")
    assert "file/below cannot be written: Not a directory" in said.err
    assert home.syncer("export", "--format", kind, "-o", "/proc/nothing").code == 2
    if kind != "parquet":
        assert "cannot be written: No such file" in home.syncer("export", "--format", kind, "-o", "no/such").err
        assert "cannot be written: Is a directory" in home.syncer("export", "--format", kind, "-o", ".").err
    assert (home.path / "file").read_text() == "x"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_full_disk(home: Home, kind: str) -> None:
    """Where the disk is full the export exits 1, and leaves neither a half file nor a hidden one."""
    rows = [model(f"acme/{n}", n, description=os.urandom(2000).hex()) for n in range(300)]
    poll(home, datetime(2026, 1, 1, tzinfo=UTC), *rows)
    (home.path / "out").mkdir()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    with home.started("export", "--format", kind, "-o", "out/it", options={"preexec_fn": limit}) as child:
        _, err = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in err) == (1, False), err
    assert "cannot be written" in err
    assert left_behind(home.path / "out") == []


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where the processes are born."""
    with Nursery(clean_environment()) as started:
        yield started


@pytest.mark.parametrize(("kind", "function"), [("jsonl", "_flattened"), ("parquet", "_record_batch")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_export_that_is_interrupted(
    home: Home, nursery: Nursery, kind: str, function: str, number: signal.Signals
) -> None:
    """No half file ever has its final name, whatever ends the export; run again it is whole, nothing left over."""
    fill(home, days := 2)
    out = home.path / "out"
    out.mkdir()
    target = out / "it.jsonl" if kind == "jsonl" else out
    command = ("--config", str(home.path / "syncer.toml"), "export", "--format", kind, "-o", str(target))
    late = 1_500 if kind == "jsonl" else 1  # the row, or the batch, in the midst of whose writing it ends
    job = Job(command=command, signal=number, on_entering=f"syncer.exports:{function}", entering=late)
    (ended,) = nursery.run(job)
    assert ended.code in {143, -signal.SIGKILL}, ended.said
    left = left_behind(out)
    assert [name for name in left if not name.endswith(".partial")] == []
    assert all(Path(name).name.startswith(".") for name in left), "hidden from all who read a whole directory"
    assert bool(left) == (number == signal.SIGKILL), "what is killed leaves a part, anything else nothing"
    again = home.syncer(*command)
    assert again.code == 0, again.err
    assert again.err.splitlines()[-1].startswith(f"{days * MODELS} rows")
    assert not [name for name in left_behind(out) if name.endswith(".partial")]
    if kind == "parquet":
        assert ask(f"SELECT count(*), count(DISTINCT id) FROM '{out}/*/*.parquet'") == [(2_000, 2_000)]


BLOCKED = """\
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from syncer.cli import main
main()
"""


def test_without_pyarrow(home: Home) -> None:
    """Where pyarrow is not installed, Parquet exits 2 and says how to install it; the other forms need nothing."""
    live(home, datetime(2026, 1, 1, tzinfo=UTC), 2)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", BLOCKED, "export", *arguments]
        return subprocess.run(command, cwd=home.path, env=home.environ, capture_output=True, text=True, check=False)

    refused = run("--format", "parquet", "-o", "lake")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "syncer: Parquet needs pyarrow: pip install '.[parquet]' in a checkout of syncer\n"
    assert not (home.path / "lake").exists()
    assert len(run().stdout.splitlines()) == 4


def test_parquet_of_nothing(home: Home) -> None:
    """Without a row nothing is written, not even a directory."""
    poll(home, datetime(2026, 1, 1, tzinfo=UTC), model("a", 1))
    said = home.syncer("export", "--since", "2027-01-01", "--format", "parquet", "-o", "lake")
    assert (said.code, said.err) == (0, "0 rows\n")
    assert not (home.path / "lake").exists()


def test_whole_file_keeps_the_old_one(tmp_path: Path) -> None:
    """An error while a file is written leaves the one that was there."""
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with exports.whole_file(path) as partial:
            partial.write_text("half")
            raise UsageError("stop")

    with pytest.raises(UsageError, match="stop"):
        write_half()
    assert left_behind(tmp_path) == ["file"]
    assert path.read_text() == "old"


# -- memory ------------------------------------------------------------------------------------------------------------

MEASURED = "import resource, sys\nfrom syncer import cli\ncode = cli.run(sys.argv[1:])\n"
MEASURED += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\nsys.exit(code)\n"


def assert_little_memory(home: Home, kind: str) -> None:
    """An export of twice as many rows, and more batches than are ever held, takes no more memory."""

    def peak(*arguments: str) -> int:
        command = [sys.executable, "-c", MEASURED, "export", "--format", kind, "-o", "out", *arguments]
        done = subprocess.run(command, cwd=home.path, env=home.environ, capture_output=True, text=True, check=True)
        return int(done.stderr.split()[-1])

    few, many = peak("--after", str(LONG // 2)), peak()
    assert many < few + 12_000, f"{few} KB for half of the rows, {many} KB for all"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_memory_does_not_grow_with_the_history(home: Home, long: Path, kind: str) -> None:
    """Rows stream from SQLite into the file."""
    shutil.copy(long, home.path / "syncer.db")
    assert_little_memory(home, kind)


@pytest.mark.parametrize("any_home", ["postgresql"], indirect=True)
def test_memory_does_not_grow_on_postgresql(any_home: Home) -> None:
    """PostgreSQL keeps the rows in a cursor, instead of sending all at once."""
    fill(any_home, LONG // MODELS)
    assert_little_memory(any_home, "jsonl")
