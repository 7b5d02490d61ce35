"""`syncer import --git`: the history of a file in a repository becomes the history of a source."""

import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.home import Home
from tests.cli.test_process import wait_for
from tests.upstream import catalog_body, model

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
FILE = "data/prices.json"


class Repository:
    """A git repository with a file of prices, made commit by commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str, at: datetime = START) -> str:
        """Run git in it; commits are made at `at`."""
        seconds = f"{int(at.timestamp())} +0000"
        who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": seconds, "GIT_COMMITTER_DATE": seconds, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *words],
            cwd=self.path,
            env={**os.environ, **who, **dates},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def commit(self, day: float, text: str | None) -> None:
        """The file has this text on this day; None deletes it."""
        file = self.path / FILE
        file.parent.mkdir(exist_ok=True)
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "prices", at=START + timedelta(days=day))

    def price(self, day: float, price: int) -> None:
        """On this day the one model costs so much."""
        self.commit(day, catalog_body([model("acme/a", price)]).decode())


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "repository")


def periods(home: Home, source: str = "default") -> list[tuple[float, str]]:
    """Each price of the model, and when it began."""
    rows = home.sql(f"SELECT price, valid_from FROM price_periods WHERE source = '{source}' ORDER BY valid_from")
    return [(float(price), str(begin)[:19]) for price, begin in rows]


def test_each_commit_of_the_file_is_an_observation_at_its_committer_time(home: Home, repository: Repository) -> None:
    """A year of commits becomes a year of prices; a commit that does not touch the file is none of them."""
    for day, price in ((0, 1), (1, 2), (3, 3)):
        repository.price(day, price)
        (repository.path / "README").write_text(str(day))
        repository.git("add", "-A")
        repository.git("commit", "-q", "-m", "other", at=START + timedelta(days=day, hours=1))
    said = home.syncer("import", "--git", str(repository.path), FILE)
    assert (said.code, said.out, said.err) == (0, "default: 3 changed; 3 changes\n", "")
    assert periods(home) == [(1, "2026-01-01 12:00:00"), (2, "2026-01-02 12:00:00"), (3, "2026-01-04 12:00:00")]
    assert home.syncer("import", "--git", str(repository.path), FILE).out == "default: 3 already there; 0 changes\n"
    repository.price(9, 4)
    said = home.syncer("import", "--git", str(repository.path), FILE)
    assert said.out == "default: 1 changed, 3 already there; 1 change\n"


def test_a_bare_mirror_is_as_good(home: Home, repository: Repository, tmp_path: Path) -> None:
    """A repository without a checkout gives the same history, and is not written to."""
    for day in range(3):
        repository.price(day, 1 + day)
    mirror = tmp_path / "mirror.git"
    repository.git("clone", "-q", "--mirror", str(repository.path), str(mirror))
    before = {path: path.stat().st_mtime_ns for path in mirror.rglob("*")}
    assert home.syncer("import", "--git", str(mirror), FILE).out == "default: 3 changed; 3 changes\n"
    assert {path: path.stat().st_mtime_ns for path in mirror.rglob("*")} == before
    assert [price for price, _ in periods(home)] == [1, 2, 3]


def test_a_deleted_file_shows_nothing(home: Home, repository: Repository) -> None:
    """A commit that deletes the file is no empty catalog: the model is never removed."""
    repository.price(0, 1)
    repository.commit(1, None)
    repository.price(9, 2)
    assert home.syncer("import", "--git", str(repository.path), FILE).out == "default: 2 changed; 2 changes\n"
    assert {kind for (kind,) in home.sql("SELECT kind FROM changes")} == {"added", "repriced"}


def test_times_that_go_back_still_rise(home: Home, repository: Repository) -> None:
    """A commit made by a clock that was behind is a moment after the one before, the same whenever it is imported."""
    for day, price in ((5, 1), (2, 2), (6, 3)):
        repository.price(day, price)
    said = home.syncer("import", "--git", str(repository.path), FILE)
    assert (said.code, said.out) == (0, "default: 3 changed; 3 changes\n")
    times = [str(at) for (at,) in home.sql("SELECT effective_at FROM changes ORDER BY id")]
    assert times == ["2026-01-06 12:00:00.000000", "2026-01-06 12:00:00.000001", "2026-01-07 12:00:00.000000"]
    assert home.syncer("import", "--git", str(repository.path), FILE).out == "default: 3 already there; 0 changes\n"


def test_a_branch_counts_when_it_is_merged(home: Home, repository: Repository) -> None:
    """What a branch said before its merge was never published: only the first-parent history is imported."""
    repository.price(0, 1)
    repository.git("checkout", "-q", "-b", "idea")
    repository.price(1, 7)
    repository.price(2, 8)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "idea", at=START + timedelta(days=3))
    assert home.syncer("import", "--git", str(repository.path), FILE).code == 0
    assert periods(home) == [(1, "2026-01-01 12:00:00"), (8, "2026-01-04 12:00:00")]


def test_a_format_of_its_own(home: Home, repository: Repository) -> None:
    """--format says how the file is written; a commit that cannot be read fails alone, and exit 1 says so."""
    row = {"id": "acme/a", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}
    repository.commit(0, json.dumps({"data": [row]}))
    repository.commit(1, "{ not json")
    repository.commit(2, json.dumps({"data": [row | {"pricing": {"prompt": "0.000001", "completion": "0.000003"}}]}))
    said = home.syncer("import", "--git", str(repository.path), FILE, "--format", "openrouter", "--source", "or")
    assert (said.code, said.out) == (1, "or: 2 changed, 1 failed; 2 changes\n")
    assert re.match(r"commit [0-9a-f]{12}: the response is not JSON", said.err)
    rows = home.sql("SELECT component, price FROM price_periods WHERE source = 'or' ORDER BY component, valid_from")
    assert [(component, float(price)) for component, price in rows] == [("input", 1), ("output", 2), ("output", 3)]


def test_interrupted_it_goes_on(home: Home, repository: Repository) -> None:
    """Ctrl-C in the middle says how far it came; run again, it goes on to the whole history."""
    for day in range(40):
        repository.price(day / 10, 1 + day % 9)
    command = ("import", "--git", str(repository.path), FILE)
    with home.started(*command) as child:
        wait_for(lambda: home.sql("SELECT count(*) FROM runs WHERE outcome = 'changed'")[0][0] >= 3)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in err) == (130, False)
    assert out.startswith("default: ")
    assert home.syncer(*command).code == 0
    assert home.syncer(*command).out == "default: 40 already there; 0 changes\n"
    assert [price for price, _ in periods(home)] == [1 + day % 9 for day in range(40)]
    assert home.syncer("db", "verify").code == 0


@pytest.mark.parametrize("wrong", ["no repository", "no such path", "an empty one"])
def test_what_cannot_be_read_is_one_line(home: Home, repository: Repository, tmp_path: Path, wrong: str) -> None:
    """A directory that is no repository, one without commits, and a path that no commit has: exit 2 and one line."""
    place, path = repository.path, FILE
    if wrong == "no repository":
        place = tmp_path / "plain"
        place.mkdir()
    if wrong == "no such path":
        repository.price(0, 1)
        path = "prices.json"
    said = home.syncer("import", "--git", str(place), path)
    assert (said.code, said.err.count("\n"), "Traceback" in said.err) == (2, 1, False)
    assert str(place) in said.err
