"""A SQLite file that this account may only read: it is read, or the reason is said; and never is the answer wrong."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncer.db import engine as db
from syncer.db import migrate
from tests.db import execute, opened

QUESTION = """
import os, sqlalchemy.dialects.sqlite, sys
from syncer import http_client
from syncer.db import engine as db
from syncer.db import migrate
from syncer.errors import SyncerError
os.setgroups([]); os.setgid(65534); os.setuid(65534)  # once all is imported: nobody may not read our own folders
engine = db.open_engine(sys.argv[1], read_only=True)
try:
    for _ in range(2):
        migrate.require_schema(engine)
        with db.reading(engine) as connection:
            print(connection.exec_driver_sql("SELECT last_id FROM feed").scalar(), flush=True)
        if len(sys.argv) > 2:
            sys.stdin.readline()
except SyncerError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def file() -> Iterator[Path]:
    """A database that everybody may read, in a folder that only its owner may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    folder = Path(tempfile.mkdtemp(prefix="syncer-read-only-", dir="/tmp"))
    folder.chmod(0o755)
    path = folder / "syncer.db"
    with opened(f"sqlite:///{path}"):
        pass
    path.chmod(0o644)
    yield path
    shutil.rmtree(folder)


def asked(path: Path, *more: str) -> "subprocess.Popen[str]":
    """An account that may only read asks for the last id of the feed, twice."""
    return subprocess.Popen(
        [sys.executable, "-c", QUESTION, f"sqlite:///{path}", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def answer(path: Path) -> str:
    """What it is told."""
    return asked(path).communicate(timeout=60)[0].strip()


def test_a_file_that_nobody_writes_is_read(file: Path) -> None:
    """Whoever may only read gets the answer, and leaves nothing beside the file."""
    before = file.read_bytes()
    assert answer(file) == "0\n0"
    assert [path.name for path in file.parent.iterdir()] == ["syncer.db"]
    assert file.read_bytes() == before


def test_the_next_question_sees_what_was_written_meanwhile(file: Path) -> None:
    """A pool never answers from a copy of what the file was."""
    process = asked(file, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    with opened(f"sqlite:///{file}", ready=False) as engine:
        execute(engine, "UPDATE feed SET last_id = 7")
    assert process.communicate("\n\n", timeout=60)[0] == "7\n"


def test_beside_a_writer_it_reads_as_everybody_does(file: Path) -> None:
    """While a syncer has the file open the usual way works, and sees what was committed."""
    with opened(f"sqlite:///{file}", ready=False) as engine:
        execute(engine, "UPDATE feed SET last_id = 3")
        with db.writing(engine) as connection:
            connection.exec_driver_sql("UPDATE feed SET last_id = 4")
            assert answer(file) == "3\n3"


def test_what_a_crash_left_behind_is_not_passed_over(file: Path) -> None:
    """A -wal holds what the file does not: without the right to read it properly there is a sentence and no answer."""
    with opened(f"sqlite:///{file}", ready=False) as engine:
        execute(engine, "UPDATE feed SET last_id = 5")
        kept = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    for name, held in kept.items():
        if not name.endswith("-shm"):
            (file.parent / name).write_bytes(held)
    said = answer(file)
    assert said.startswith(f"DatabaseError: the database at sqlite:///{file} cannot be used: ")
    assert "this account must be able to write the file and its folder" in said


def test_whoever_may_write_never_reads_a_copy(file: Path) -> None:
    """A folder that can be written is SQLite's own business: mode=ro does it."""
    file.parent.chmod(0o777)
    assert answer(file) == "0\n0"


def test_a_file_of_another_journal_is_read_in_place(tmp_path: Path) -> None:
    """A file that is in no WAL mode needs nothing special."""
    path = tmp_path / "syncer.db"
    with opened(f"sqlite:///{path}") as engine:
        migrate.require_schema(engine)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    assert answer_here(path) == 0


def answer_here(path: Path) -> int:
    """The last id of the feed, read only."""
    with opened(f"sqlite:///{path}", ready=False, read_only=True) as engine, db.reading(engine) as connection:
        return int(connection.exec_driver_sql("SELECT last_id FROM feed").scalar_one())
