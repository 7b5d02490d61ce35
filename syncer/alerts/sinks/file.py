"""Append the events to a file as JSON lines, one write and one fsync a message.

- Never half a line: what could not be written whole is taken back, and so is what a killed writer left.
- Two writers never interleave: an advisory lock (flock) holds for the whole message, so a reader that wants to be
  sure takes it too.
- Only regular files: a pipe or a terminal cannot take anything back.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self

import msgspec

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.alerts.sinks.lines import json_lines
from syncer.settings import rules
from syncer.settings.sinks import Opening, SinkSettings, register

_POLL_INTERVAL = 0.05  # how often to ask for the lock, in seconds


@register
class File(SinkSettings, frozen=True, kw_only=True):
    """`file`: the file that events are appended to."""

    ADDRESSES: ClassVar = ("file",)
    TOOK: ClassVar = "the sample stands at the end of the file"

    file: Annotated[str, rules.TEXT]

    def placed_in(self, folder: Path) -> Self:
        """The file, made one of `folder`."""
        return msgspec.structs.replace(self, file=str(folder / self.file))

    def written(self) -> tuple[Path, ...]:
        """The file."""
        return (Path(self.file),)

    def open(self, opening: Opening) -> Sink:  # noqa: ARG002 - it needs nothing that may change
        """A sink that appends to the file."""
        return make(Path(self.file))


def make(path: Path, *, deadline: timedelta = DEADLINE) -> Sink:
    """A sink that appends to `path`, which it makes if need be; its folder must exist."""

    def send(message: Message) -> None:
        where = f"the file {http_client.escape(str(path))} of {message.consumer!r}"
        try:
            with _opened(path) as descriptor:
                _require_regular(descriptor, where)
                _lock(descriptor, where, deadline)
                _append(descriptor, path, json_lines(message), where)
        except OSError as error:
            raise DeliveryError(
                f"{where} cannot be written: {error.strerror}; check its folder, its permissions and the space left"
            ) from None

    return send


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Without O_NONBLOCK, to open a named pipe would wait for its reader.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # the lock goes with it


def _require_regular(descriptor: int, where: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise DeliveryError(f"{where} is not a regular file; use `command` to write to anything else")


def _lock(descriptor: int, where: str, deadline: timedelta) -> None:
    ends_at = time.monotonic() + deadline.total_seconds()
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.monotonic() >= ends_at:
            raise DeliveryError(f"{where} was locked by another process for {deadline.total_seconds():g} s")
        time.sleep(_POLL_INTERVAL)


def _append(descriptor: int, path: Path, lines: bytes, where: str) -> None:
    start = _start(descriptor, lines, where)
    try:
        written = os.write(descriptor, lines)
        os.fsync(descriptor)
        if start == 0:
            _sync_folder(path)
    except BaseException:
        os.ftruncate(descriptor, start)
        raise
    if written < len(lines):
        os.ftruncate(descriptor, start)
        raise DeliveryError(f"{where} took only {written} of {len(lines)} bytes, which were taken back; make space")


def _start(descriptor: int, lines: bytes, where: str) -> int:
    """Where to append: the end of the file, after taking back half a line of ours that a killed writer left there."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, len(lines), max(size - len(lines), 0))  # half a line of ours is shorter than all of ours
    tail = end[end.rfind(b"\n") + 1 :]
    if not tail:
        return size
    # A killed writer's message is the next one it repeats, with the same bytes: nobody else's text is ever cut.
    if any(line.startswith(tail) for line in lines.split(b"\n")):
        os.ftruncate(descriptor, size - len(tail))
        return size - len(tail)
    raise DeliveryError(f"{where} ends in half a line that is not of this message; end or remove its last line")


def _sync_folder(path: Path) -> None:
    """Make the file's name as durable as its content."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
