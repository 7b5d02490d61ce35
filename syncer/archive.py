"""Evidence: each response that had to be read, kept as a line of a gzip JSONL file, one file a source and month.

A line is `{"observed_at": "...Z", "body": "<the response as text>"}`, the form that `syncer import` reads. It is
written before the response is parsed, so that what broke a run is kept too. Bytes that are no UTF-8 survive as lone
surrogates (Python's surrogateescape).
"""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from syncer.errors import SyncerError, UsageError

_WRONG_PLACE = (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError)


def archive_body(directory: Path, source: str, observed_at: datetime, body: bytes | bytearray) -> None:
    """Append one response to its file, whole or not at all.

    Raises UsageError where `directory` cannot be one, and SyncerError where it can but the disk is full or broken.
    """
    at = observed_at.astimezone(UTC)
    line = json.dumps(
        {"observed_at": at.isoformat().replace("+00:00", "Z"), "body": body.decode("utf-8", "surrogateescape")}
    )
    path = directory / f"{source}-{at:%Y-%m}.jsonl.gz"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _append(path, gzip.compress(line.encode() + b"\n", mtime=0))
    except _WRONG_PLACE as error:
        raise UsageError(
            f"the response cannot be kept in {path}: {error.strerror}; name another directory (save_bodies)"
        ) from None
    except OSError as error:
        raise SyncerError(
            f"the response could not be kept in {path}: {error.strerror or error}; make room, or turn save_bodies off"
        ) from None


def _append(path: Path, member: bytes) -> None:
    """A gzip member at a time: a file of several is one gzip file, but half a one would spoil all that follow."""
    with path.open("ab", buffering=0) as file:  # what a buffer holds back would be written after the truncation
        end = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(member)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise
