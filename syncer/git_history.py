"""A file's git history as a recording: each commit that changed it is a response, its committer time when it was shown.

- The first-parent history of HEAD only: what a branch said before it was merged was never published.
- Nothing is fetched, checked out or written: a bare mirror is as good as a checkout. Git itself reads the repository.
- Committer times may stand still or go back; a recording's may not. Each is at least a microsecond after the one
  before, which gives the same times whenever it is read, so that an import goes on where it stopped.
"""

import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from syncer.errors import UsageError
from syncer.importing import Recorded

_TICK = timedelta(microseconds=1)


class Version(NamedTuple):
    """One commit that changed the file, and when it shows it."""

    commit: str
    at: datetime


def versions(repository: Path, path: str) -> list[Version]:
    """The commits that changed `path`, oldest first; raises UsageError where there are none, or no repository."""
    log = _git(repository, "log", "--first-parent", "--reverse", "--format=%H %ct", "HEAD", "--", path).decode()
    found = [line.split() for line in log.splitlines() if line]
    if not found:
        raise UsageError(f"no commit of {repository} has a file {path}: give the path from the repository's top")
    return list(_rising([(commit, datetime.fromtimestamp(int(seconds), UTC)) for commit, seconds in found]))


def read_versions(repository: Path, path: str, found: Sequence[Version]) -> Iterator[Recorded]:
    """The file as each of these commits has it; one that deleted it shows nothing, and is passed over."""
    for number, version in enumerate(found, 1):
        blob = _blob(repository, version.commit, path)
        if blob is not None:
            body = _git(repository, "cat-file", "blob", blob)
            yield Recorded(line=number, observed_at=version.at, body=body, name=f"commit {version.commit[:12]}")


def _rising(commits: Sequence[tuple[str, datetime]]) -> Iterator[Version]:
    last: datetime | None = None
    for commit, at in commits:
        last = at if last is None else max(at, last + _TICK)
        yield Version(commit, last)


def _blob(repository: Path, commit: str, path: str) -> str | None:
    """The object that a commit has at the path; None if it has no file there."""
    listed = _git(repository, "ls-tree", "-z", commit, "--", path).decode("utf-8", "surrogateescape")
    entry = listed.partition("\0")[0].partition("\t")[0].split()
    return entry[2] if len(entry) == 3 and entry[1] == "blob" else None


def _git(repository: Path, *arguments: str) -> bytes:
    """What git says; raises UsageError in its own words."""
    command = ["git", "-C", str(repository), "--no-replace-objects", "-c", "safe.directory=*", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a person's repository
    except FileNotFoundError:
        raise UsageError("`git` is not installed: it reads the repository of --git") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"git ended with {done.returncode}"
        raise UsageError(f"{repository} cannot be read as a git repository: {said}")
    return done.stdout
