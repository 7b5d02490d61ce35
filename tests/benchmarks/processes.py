"""Whole processes: started in a clean environment and a fresh folder, and what each of them cost."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.shapes import ONE, Shape

HERE = Path(__file__).resolve().parent
FLOORS = HERE / "floors"
_ROOT = HERE.parent.parent
_LAUNCHER = HERE / "launcher.py"
KEY = "ak_of_the_benchmarks_0123456789"
"""As long as real ones: it is looked for in each body, lest it be kept."""
SYNCER = str(Path(sys.executable).with_name("syncer"))


class Sample(NamedTuple):
    """What one process cost: seconds by the clock, seconds of processor, peak memory in MiB; and what it printed."""

    wall: float
    cpu: float
    peak_mb: float
    printed: str

    def said(self) -> Any:
        """The last line that it printed, as JSON."""
        return json.loads(self.printed.splitlines()[-1])


def run(command: Sequence[str], environment: Mapping[str, str], *, files: Mapping[str, str] | None = None) -> Sample:
    """Run a program to its end among `files` (name -> text); raises RuntimeError with its words if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (files or {}).items():
            (Path(folder) / name).write_text(text)
        output = Path(folder) / "output"
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_LAUNCHER), str(output), *command],
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": folder, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the launcher of {command[0]} failed: {done.stderr}")
        cost, printed = json.loads(done.stdout), output.read_text(errors="replace")
    if cost.pop("exit"):
        raise RuntimeError(f"{' '.join(command)} failed:\n{printed}")
    return Sample(**cost, printed=printed)


def syncer(url: str, database: str, *, max_body: int | None = None, trust: bool = True, shape: Shape = ONE) -> Sample:
    """The shipped `syncer sync` of this environment; what is as usual needs no file."""
    environment = {"SYNCER_API_URL": url, "SYNCER_API_KEY": KEY, "SYNCER_DATABASE_URL": database}
    if max_body is None and trust and shape is ONE:
        return run([SYNCER, "sync"], environment)
    keyed = shape.format != "models.dev"
    lines = [
        "[[sources]]",
        'name = "default"',
        f'url = "{url + shape.path}"',
        f'format = "{shape.format}"',
        *(['api_key_env = "SYNCER_API_KEY"'] if keyed else []),
        *([f"max_body = {max_body}"] if max_body else []),
        *([] if trust else ["trust = false"]),
        shape.tables,
    ]
    del environment["SYNCER_API_URL"]
    return run([SYNCER, "sync"], environment, files={"syncer.toml": "\n".join(lines)})


def script(path: Path, *arguments: str, python: str = sys.executable) -> Sample:
    """One of our own scripts."""
    return run([python, str(path), *arguments], {"PYTHONPATH": str(_ROOT)})
