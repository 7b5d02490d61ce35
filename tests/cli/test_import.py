"""`syncer import`: what it says, how it ends, and that it needs nothing."""

import json
import os
import pty
import signal
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.home import Home
from tests.cli.test_process import wait_for
from tests.upstream import catalog_body, model

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def recording(path: Path, *bodies: bytes | Sequence[dict[str, Any]], first: datetime = FIRST) -> str:
    """A file with an observation a day at these models, or at these very bytes; its name."""
    lines = []
    for day, each in enumerate(bodies):
        body = each if isinstance(each, bytes) else catalog_body(list(each))
        lines.append(json.dumps({"observed_at": (first + timedelta(days=day)).isoformat(), "body": body.decode()}))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def prices(*each: str) -> list[list[dict[str, Any]]]:
    """Catalogs of one model at these prices."""
    return [[model("acme/a", Decimal(price))] for price in each]


def test_it_needs_no_settings(home: Home, tmp_path: Path) -> None:
    """In an empty directory a recording becomes a database with the source `default`, its runs of kind import."""
    (home.path / "syncer.toml").unlink()
    (home.path / "syncer.db").unlink()
    file = recording(tmp_path / "history.jsonl", *prices("1", "2", "2", "3"))
    assert home.syncer("import", file) == (0, "default: 3 changed, 1 unchanged; 3 changes\n", "")
    assert home.syncer("import", file) == (0, "default: 4 already there; 0 changes\n", "")
    assert home.sql("SELECT DISTINCT kind FROM runs") == [("import",)]
    assert [row["price"] for row in home.syncer("prices", "acme/a", "--json").json] == [1, 2, 3]
    assert home.syncer("import", file, "--source", "other", "--json").json == [
        {"source": "other", "changes": 3, "changed": 3, "unchanged": 1, "held": 0, "failed": 0, "already_there": 0}
    ]


def test_trust(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--trust decides; without it the source's setting, SYNCER_TRUST where it has none, and then on."""
    file = recording(tmp_path / "history.jsonl", *prices("1", "1000"))

    def held(*arguments: str) -> bool:
        said = home.syncer("import", file, "--json", *arguments)
        return bool(said.json[0]["held"])

    assert held("--source", "a")
    assert not held("--source", "b", "--trust", "off")
    home.configure(trust=False)
    assert not held("--source", "shop")
    home.configure({"name": "c", "url": home.upstream.url, "trust": False})
    assert held("--source", "c", "--trust", "on")
    monkeypatch.setenv("SYNCER_TRUST", "off")
    assert not held("--source", "d")


def test_a_body_that_is_no_catalog(home: Home, tmp_path: Path) -> None:
    """It leaves a failed run and is named with its line; the import goes on, and ends with 1."""
    file = recording(
        tmp_path / "h.jsonl", *prices("1"), b"<html>\x1b[31m</html>", b'{"status": "failed"}', *prices("2")
    )
    said = home.syncer("import", file)
    assert (said.code, said.out) == (1, "default: 2 changed, 2 failed; 2 changes\n")
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["line 2", "line 3"]
    assert "\x1b" not in said.err
    outcomes = [row[0] for row in home.sql("SELECT outcome FROM runs ORDER BY id")]
    assert outcomes == ["changed", "failed", "failed", "changed"]
    assert home.syncer("import", file) == (0, "default: 4 already there; 0 changes\n", "")


def test_what_is_refused(home: Home, tmp_path: Path) -> None:
    """An observation that is not later, and a line that is none, end with 2; what came before is told, and stays."""
    home.syncer("import", recording(tmp_path / "h.jsonl", *prices("1", "2", "3")))
    said = home.syncer("import", recording(tmp_path / "other.jsonl", *prices("1", "2", "9")))
    assert (said.code, said.out) == (2, "default: 2 already there; 0 changes\n")
    assert said.err.startswith("syncer: line 3 was observed at 2026-01-03T00:00:00+00:00, but the source has already")
    bad = tmp_path / "bad.jsonl"
    recording(bad, *prices("4", "5"), first=datetime(2026, 1, 4, tzinfo=UTC))
    bad.write_text(bad.read_text() + '{"observed_at": "2026-01-06"}\n')
    said = home.syncer("import", str(bad))
    assert (said.code, said.out) == (2, "default: 2 changed; 2 changes\n")
    assert "bad.jsonl, line 3 is not a recorded response: it has no 'body'" in said.err
    assert home.sql("SELECT count(*) FROM changes") == [(5,)]
    assert home.syncer("import", str(bad), "--source", "../x").code == 2
    assert home.syncer("import", "missing.jsonl").code == 2


def test_a_source_that_is_busy(home: Home, tmp_path: Path) -> None:
    """A live sync that holds the lease keeps the import out: exit code 75."""
    home.take("shop")
    said = home.syncer("import", recording(tmp_path / "h.jsonl", *prices("1")), "--source", "shop")
    assert (said.code, said.out) == (75, "shop: nothing; 0 changes\n")
    assert "shop is being synced by other:1" in said.err


def test_saved_bodies_can_be_imported(home: Home) -> None:
    """What `syncer sync --save-bodies` keeps is what `syncer import` reads, changes and all."""
    for price in ("1", "2"):
        home.serve(model("acme/a", Decimal(price)), model("acme/b", None))
        assert home.syncer("sync", "--save-bodies", "bodies").code == 0
    (file,) = (home.path / "bodies").iterdir()
    assert home.syncer("import", str(file), "--source", "rebuilt").out == "rebuilt: 2 changed; 3 changes\n"
    columns = "kind, c.name, price, old_price, observed_at, effective_at, changed_after, raw"
    histories = [
        home.sql(f"SELECT {columns} FROM changes c JOIN sources s ON s.id = c.source_id WHERE s.name = '{name}'")
        for name in ("shop", "rebuilt")
    ]
    assert histories[0] == histories[1] != []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_goes_on(home: Home, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C ends an import at once, saying how far it came; run again, it goes on to the same history."""
    days = [f"{1 + day % 9}" for day in range(90)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    file = recording(tmp_path / "h.jsonl", *prices(*days))
    lines = Path(file).read_bytes().splitlines(keepends=True)
    release = threading.Event()

    def feed() -> None:
        with pipe.open("wb", buffering=0) as out:
            out.write(b"".join(lines[:20]))
            release.wait(60)

    feeding = threading.Thread(target=feed)
    feeding.start()
    with home.started("import", str(pipe), "--source", "shop") as child:
        wait_for(lambda: home.sql("SELECT count(*) FROM runs WHERE outcome = 'changed'")[0][0] >= 5)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        assert child.returncode == code, err
    release.set()
    feeding.join()
    assert out.startswith("shop: ")
    assert "Traceback" not in err
    assert home.sql("SELECT lease_owner FROM sources") == [(None,)]
    assert home.syncer("import", file, "--source", "shop").code == 0
    assert home.sql("SELECT count(*) FROM runs WHERE outcome = 'running'") == [(0,)]
    assert [str(row["price"]) for row in home.syncer("prices", "acme/a", "--json").json] == days
    said = home.syncer("import", file, "--source", "shop")
    assert said.out == "shop: 90 already there; 0 changes\n"


def test_progress_is_for_terminals(home: Home, tmp_path: Path) -> None:
    """A bar with the number of lines shows on a terminal, and nothing of it in a pipe or a file."""
    file = recording(tmp_path / "h.jsonl", *prices(*(f"{1 + day % 9}" for day in range(120))))
    assert home.process("import", file).err == ""
    ours, theirs = pty.openpty()
    seen = bytearray()
    with home.started("import", file, "--source", "two", options={"stderr": theirs}) as child:
        os.close(theirs)
        while piece := _read(ours):
            seen += piece
        assert child.wait(60) == 0
        assert child.stdout.read() == "two: 120 changed; 120 changes\n"
    os.close(ours)
    assert b"importing" in seen
    assert b"/120" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: how the last writer's leaving shows
        return b""
