"""`syncer service`: units that systemd accepts, with the paths of whoever asked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from syncer.alerts.sinks.file import File
from syncer.cli.service import render
from syncer.errors import UsageError
from syncer.settings import AlertSettings, Settings
from tests.cli.home import Home

NAMES = ["syncer.service", "syncer-sync.service", "syncer-sync.timer"]


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; without it the test is skipped."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze here")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", ["units", "an odd 100% $HOME 'folder'"])
def test_systemd_finds_nothing_wrong(home: Home, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """`systemd-analyze verify` passes for the daemon's unit and for the timer's, in a folder of any name."""
    place = home.path / folder
    place.mkdir()
    shutil.copy(home.path / "syncer.toml", place)
    monkeypatch.chdir(place)
    assert home.syncer("service", "--output", ".").code == 0
    assert home.syncer("service", "--timer", "--output", ".").code == 0
    assert sorted(path.name for path in place.iterdir()) == sorted([*NAMES, "syncer.toml"])
    done = systemd_analyze("verify", *(f"./{name}" for name in NAMES))
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not [line for line in said.splitlines() if "syncer" in line]  # of the machine's own units it may complain


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_units_are_hardened(home: Home, tmp_path: Path, name: str) -> None:
    """By systemd's own judgement what a unit may do is "OK", for a user that is not root."""
    text = render(name, Settings(), python=Path(sys.executable), directory=home.path, user="daemon")
    (tmp_path / name).write_text(text)
    done = systemd_analyze("security", "--offline=yes", "--threshold=14", tmp_path / name)
    assert done.returncode == 0, done.stdout


def test_a_unit_runs_this_python_with_these_settings(home: Home) -> None:
    """The command is this interpreter's, with the configuration that was read, in this directory."""
    lines = home.syncer("service").out.splitlines()
    config = home.path / "syncer.toml"
    assert f"ExecStart={sys.executable} -m syncer --config {config} run" in lines
    assert f"WorkingDirectory={home.path}" in lines
    assert f"ReadWritePaths=-{home.path}" in lines
    timer = home.syncer("service", "--timer").out.splitlines()
    assert f"ExecStart={sys.executable} -m syncer --config {config} sync --quiet" in timer
    assert "OnCalendar=hourly" in timer


def test_the_command_of_the_timer_works(home: Home) -> None:
    """What the timer's unit would start can be started, and syncs."""
    (line,) = [line for line in home.syncer("service", "--timer").out.splitlines() if line.startswith("ExecStart=")]
    home.serve()
    home.upstream.serve([{"model_name": "acme/large", "price": 1}])
    command = line.removeprefix("ExecStart=").split()
    done = subprocess.run(command, cwd=home.path, env=home.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert home.sql("SELECT outcome FROM runs") == [("changed",)]


def test_only_what_syncer_writes_is_writable() -> None:
    """The database's folder, that of the bodies and those of file alerts are writable besides the directory."""
    settings = Settings(
        database_url="sqlite:////var/lib/syncer/syncer.db",
        save_bodies="/srv/bodies",
        alerts=(
            AlertSettings(name="a", to=File(file="/var/log/syncer/events.jsonl")),
            AlertSettings(name="b", to=File(file="/etc/x/y/z")),
        ),
    )
    text = render("syncer.service", settings, python=Path("/usr/bin/python3"), directory=Path("/etc/x"), user="me")
    writable = [line for line in text.splitlines() if line.startswith("ReadWritePaths")]
    assert writable == [
        f"ReadWritePaths=-{path}" for path in ("/etc/x", "/var/lib/syncer", "/srv/bodies", "/var/log/syncer")
    ]


def test_no_secret_is_in_a_unit() -> None:
    """A database password in the settings is in no unit (law 11)."""
    settings = Settings(database_url="postgresql://me:hunter2@db.example/x")
    for name in NAMES:
        assert "hunter2" not in render(name, settings, python=Path("/p"), directory=Path("/d"), user="me")


def test_a_path_means_itself() -> None:
    """Blanks, quotes and what systemd would expand (%, and $ in a command) are written so that they stay."""
    odd = Path('/a "b" 100%n $HOME')
    text = render("syncer.service", Settings(path=odd / "c.toml"), python=Path("/p"), directory=odd, user="me")
    lines = text.splitlines()
    assert 'ExecStart=/p -m syncer --config "/a \\"b\\" 100%%n $$HOME/c.toml" run' in lines
    assert 'WorkingDirectory=/a "b" 100%%n $HOME' in lines
    assert 'ReadWritePaths="-/a \\"b\\" 100%%n $HOME"' in lines


def test_a_path_that_forges_a_line_is_refused() -> None:
    """A directory whose name holds a line break could add a setting of its own: it is refused (law 12)."""
    with pytest.raises(UsageError, match="no systemd unit can hold"):
        render("syncer.service", Settings(), python=Path("/p"), directory=Path("/d\nUser=root"), user="me")
