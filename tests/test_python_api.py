"""`syncer.open`: a Python program does all that the command line can do, and a type checker follows it."""

import json
import re
import subprocess
import sys
import venv
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import syncer
from syncer import history
from syncer.errors import BadResponse, DatabaseNotReady, FetchError, SettingsError, SeveralErrors, UsageError
from syncer.service import Imported, Syncer
from tests.cli.home import FIRST_DAY, KEY, Home
from tests.upstream import Reply, Upstream, catalog_body, model

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "syncer" / "manual" / "python.md"
EXAMPLE = """
from datetime import UTC, datetime
from decimal import Decimal

import syncer
from syncer import history
from syncer.errors import SyncerError

with syncer.open(database="prices.db", sources=[{"name": "acme", "url": "https://acme.example/v1"}]) as s:
    for outcome in s.sync(check=False):
        print(outcome.source, outcome.word, outcome.error)
    s.approve("acme")
    rejected: int = s.reject("acme")
    reverted = s.revert(7)
    print(reverted.run_id, reverted.models)
    lines = s.import_history("recorded.jsonl", "acme")
    print(sum(line.word == "changed" for line in lines))
    try:
        s.deliver()
    except SyncerError as error:
        print(error)
    with s.connect() as connection:
        price: Decimal | None = history.price_at(connection, "acme/large", at=datetime.now(UTC)).price
        rows: list[dict[str, object]] = history.as_dicts(history.changes(connection, kinds={"repriced"}))

connection = history.connect("sqlite:///prices.db")
print(history.as_json(history.catalog(connection)))
connection.close()
"""


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A directory with a syncer.toml of one source called `shop`, and no database yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_KEY", KEY)
    return Home(tmp_path, f"sqlite:///{tmp_path / 'syncer.db'}", upstream)


def opened(home: Home, **fields: Any) -> Syncer:
    """A `syncer.open(...)` of one open source called `acme`, which stands in no file."""
    source = {"name": "acme", "url": home.upstream.url, **fields}
    return syncer.open(database=home.path / "own.db", sources=[source])


@pytest.fixture
def bare(home: Home) -> Home:
    """A directory without any configuration."""
    (home.path / "syncer.toml").unlink()
    return home


# -- opening -----------------------------------------------------------------------------------------------------------


def test_it_opens_what_the_command_line_would(home: Home) -> None:
    """Without arguments it reads ./syncer.toml; a path names another file; a database wins over both."""
    home.serve(model("acme/a", 1))
    with syncer.open() as s:
        assert [source.name for source in s.settings.sources] == ["shop"]
        assert [outcome.word for outcome in s.sync()] == ["changed"]
    (home.path / "other.toml").write_text('[[sources]]\nname = "other"\nurl = "http://other.example"')
    with syncer.open("other.toml", database="other.db") as s:
        assert ([source.name for source in s.settings.sources], s.settings.database_url) == (
            ["other"],
            f"sqlite:///{home.path / 'other.db'}",
        )


def test_sources_in_code_need_no_file_and_no_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sources given, neither syncer.toml nor SYNCER_* says anything, and the same rules hold for them."""
    monkeypatch.setenv("SYNCER_DATABASE_URL", "sqlite:///never.db")
    monkeypatch.setenv("SYNCER_API_URL", "http://never.example")
    with opened(home) as s:
        assert [source.name for source in s.settings.sources] == ["acme"]
        assert s.settings.database_url == f"sqlite:///{home.path / 'own.db'}"
    with pytest.raises(SettingsError, match="interval"):
        opened(home, interval="often")
    with pytest.raises(TypeError, match="either"):
        syncer.open("syncer.toml", sources=[])


# -- doing -------------------------------------------------------------------------------------------------------------


def test_a_sync_gives_what_changed(bare: Home) -> None:
    """`sync` creates the database and gives an outcome for each source: its report, and its changes as events."""
    bare.serve(model("acme/a", 1), model("acme/b", 2))
    with opened(bare) as s:
        (outcome,) = s.sync()
        assert (outcome.source, outcome.word, outcome.error) == ("acme", "changed", None)
        assert [event["subject"] for event in outcome.events] == ["acme/a", "acme/b"]
        assert [one.word for one in s.sync("acme")] == ["unchanged"]
        with s.connect() as connection:
            assert [row.model for row in history.catalog(connection)] == ["acme/a", "acme/b"]


def test_what_went_wrong_is_raised_after_all_had_their_turn(bare: Home) -> None:
    """One error as it is, several as one; `check=False` only tells them."""
    bare.upstream.reply(Reply(status=404))
    with Upstream() as other:
        other.serve([model("acme/a", 1)])
        sources = [{"name": name, "url": bare.upstream.url} for name in ("one", "two")]
        with syncer.open(database="own.db", sources=[*sources, {"name": "well", "url": other.url}]) as s:
            with pytest.raises(SeveralErrors) as caught:
                s.sync()
            assert [type(error) for error in caught.value.errors] == [FetchError, FetchError]
            assert caught.value.exit_code == 1
            with pytest.raises(FetchError):
                s.sync("one", "well")
            assert [outcome.word for outcome in s.sync(check=False)] == ["failed", "failed", "unchanged"]


def test_a_preview_writes_nothing(bare: Home) -> None:
    """`preview` says what a sync would do and creates no file."""
    bare.serve(model("acme/a", 1))
    with opened(bare) as s:
        (outcome,) = s.preview()
        assert [event["subject"] for event in outcome.events] == ["acme/a"]
    assert not (bare.path / "own.db").exists()


def test_a_person_decides_in_python_too(bare: Home) -> None:
    """What is held is rejected, or approved, and a run is taken back; with nothing held it says so."""
    right = [model(f"acme/m{number}", 1 + number) for number in range(6)]
    wrong = [model(f"acme/m{number}", 1000 + 1000 * number) for number in range(6)]
    bare.serve(*right)
    with opened(bare) as s:
        s.sync()
        with pytest.raises(UsageError, match="nothing like that is held"):
            s.approve("acme")
        bare.serve(*wrong)
        assert [outcome.word for outcome in s.sync()] == ["held"]
        approved = s.approve("acme")
        assert (approved.word, len(approved.events)) == ("changed", 6)
        assert approved.report is not None
        assert len(s.revert(approved.report.run_id or 0).models) == 6
        with s.connect() as connection:
            assert {row.model: row.price for row in history.catalog(connection)} == {
                f"acme/m{number}": 1 + number for number in range(6)
            }


def test_a_recording_is_imported(bare: Home) -> None:
    """`import_history` gives what came of each line; what is in already is passed over, what failed tried again."""
    body = catalog_body([model("acme/a", 1)]).decode()
    lines = [
        json.dumps({"observed_at": f"2026-01-0{day}T00:00:00Z", "body": text}) for day, text in ((1, body), (2, "no"))
    ]
    (bare.path / "recorded.jsonl").write_text("\n".join(lines))
    seen: list[Imported] = []
    with syncer.open(database="own.db", sources=[]) as s:
        done = s.import_history("recorded.jsonl", "acme", on_line=seen.append)
        assert [(line.name, line.word) for line in done] == [("line 1", "changed"), ("line 2", "failed")]
        assert isinstance(done[1].error, BadResponse)
        assert seen == done
        assert [line.word for line in s.import_history("recorded.jsonl", "acme")] == ["already there", "failed"]
        with s.connect() as connection:
            assert history.price_at(connection, "acme/a", at=FIRST_DAY).price == 1


def test_consumers_are_told(bare: Home) -> None:
    """`deliver` hands each consumer its events; `skip`, `pause` and `resume` are there as well."""
    bare.serve(model("acme/a", 1))
    told = bare.path / "told.jsonl"
    sources = [{"name": "acme", "url": bare.upstream.url}]
    alerts = [{"name": "log", "file": str(told), "start": "beginning"}]
    with syncer.open(database="own.db", sources=sources, alerts=alerts) as s:
        s.sync()
        (outcome,) = s.deliver()
        assert (outcome.consumer, outcome.problem) == ("log", None)
        assert s.pause("log").state == "paused"
        assert s.resume("log").state == "active"
        assert s.skip("log").position == 1
        with pytest.raises(UsageError, match="did you mean 'log'"):
            s.send_sample("lag")
    assert [json.loads(line)["subject"] for line in told.read_text().splitlines()] == ["acme/a"]


def test_nothing_to_deliver_to(bare: Home) -> None:
    """Without a consumer it says what to write; a question creates no database."""
    with opened(bare) as s:
        with pytest.raises(UsageError, match=re.escape("[[alerts]]")):
            s.deliver()
        with pytest.raises(DatabaseNotReady), s.connect():
            pass


# -- asking ------------------------------------------------------------------------------------------------------------


def test_connect_with_and_without_a_block(home: Home) -> None:
    """A notebook keeps its connection open over many cells; a script closes it with its block."""
    home.day(model("acme/a", 1))
    connection = history.connect(home.url)
    assert [row.model for row in history.catalog(connection)] == ["acme/a"]
    home.day(model("acme/a", 1), model("acme/b", 2))
    assert [row.model for row in history.catalog(connection)] == ["acme/a"]  # the same moment
    connection.rollback()
    assert [row.model for row in history.catalog(connection)] == ["acme/a", "acme/b"]
    connection.close()
    with history.connect(home.url) as another:
        assert len(list(history.catalog(another))) == 2
    assert another.closed


def test_answers_for_pandas_and_json(home: Home) -> None:
    """One call makes dictionaries of any answer, another JSON lines, and neither loses a digit."""
    home.day(model("acme/a", 0.1))
    with history.connect(home.url) as connection:
        (row,) = history.as_dicts(history.catalog(connection))
        assert (row["model"], str(row["price"])) == ("acme/a", "0.1")
        assert '"price":0.1,' in history.as_json(history.catalog(connection))
        assert history.as_json([]) == ""


@pytest.mark.parametrize("at", ["2026-01-01", date(2026, 1, 1), 1767225600])
def test_a_wrong_type_of_time_says_so(home: Home, at: Any) -> None:
    """A text, a date or a number is no instant: the error shows what one polls like, and a naive one is told too."""
    home.day(model("acme/a", 1))
    with history.connect(home.url) as connection:
        with pytest.raises(TypeError, match=r"at must be an aware datetime, such as datetime\(2026"):
            history.price_at(connection, "acme/a", at=at)
        with pytest.raises(ValueError, match="no zone"):
            history.price_at(connection, "acme/a", at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


# -- types -------------------------------------------------------------------------------------------------------------


def test_a_foreign_type_checker_follows_it(tmp_path: Path) -> None:
    """`mypy --strict` of the examples passes in another environment: the types are shipped (py.typed)."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "syncer").symlink_to(ROOT / "syncer")
    (packages / "rest.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    page = PAGE.read_text("utf-8") if PAGE.exists() else ""
    for number, example in enumerate([EXAMPLE, *re.findall(r"```python\n(.*?)```", page, re.DOTALL)]):
        (tmp_path / f"example_{number}.py").write_text(example)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environment / "bin" / "python")]
    command += [
        "--config-file=",
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "foreign"),
        *map(str, tmp_path.glob("*.py")),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
