"""`syncer serve` and `syncer report` as processes: where they are, how they end, and what they refuse."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.conftest import clean_environment
from tests.web.world import World

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "import sys; from syncer.cli import main; sys.exit(main())"]


def environment(**more: str) -> dict[str, str]:
    """What a command runs with."""
    return clean_environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **more}


def test_serve_prints_its_address_and_ends_on_sigterm(world: World) -> None:
    """The first line is the address; SIGTERM ends it at once, with a stream open."""
    words = [*PROGRAM, "--database", world.database, "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with httpx.stream("GET", f"{url}events", timeout=20) as stream:
            assert stream.status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 143


def test_a_token_that_is_easy_to_guess_is_refused(world: World) -> None:
    """One sentence, and not the token in it."""
    words = [*PROGRAM, "--database", world.database, "serve", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        words, env=environment(SYNCER_WEB_TOKEN="hunter2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "16 or more ASCII characters" in done.stderr
    assert "hunter2" not in done.stderr


def test_report_writes_one_whole_file(world: World, tmp_path: Path) -> None:
    """The file says when it was made, and holds its style and its script."""
    file = tmp_path / "report.html"
    words = [*PROGRAM, "--database", world.database, "report", "-o", str(file), "--since", "2026-01-01"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = file.read_text("utf-8")
    assert "nothing later is in it" in text
    assert "<style>" in text
    assert not re.search(r'(src|href)="(?!#|https://huggingface\.co/)', text)
