"""Hand the events to a program as JSON lines on stdin: exit 0 is delivered.

- No shell: the program and its arguments are a list, and no text of an event is ever one of them (law 12).
- Of the environment it gets a few variables that every program may need, and those that `env` names: no key of
  syncer's, and none of anybody else's either, unless a person said so (law 11).
- At the deadline its whole process group is killed. What it left in the background in time lives on.
- stdout goes nowhere; of stderr the end is shown where it failed, and no more than that is kept.
"""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import msgspec

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.alerts.sinks.lines import json_lines
from syncer.settings.rules import Rule, UnfitError, words
from syncer.settings.sinks import Opening, SinkSettings, register

_PIECE = 64 * 1024
_KEPT = 4096
_SHOWN = 200
_POLL_INTERVAL = 0.05  # how often to see whether a program that is silent has ended, in seconds


_INHERITED = re.compile("PATH|HOME|LANG|LC_[A-Z]+|TZ|TMPDIR|USER|LOGNAME|SHELL")


def _read_command(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - TOML holds anything
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise UnfitError
    if not value or not value[0].strip():
        raise UnfitError
    return tuple(value)


@register
class Command(SinkSettings, frozen=True, kw_only=True):
    """`command`: a program and its arguments; `env` names the variables that it gets besides the usual ones."""

    ADDRESSES: ClassVar = ("command",)
    TOOK: ClassVar = "the command read the sample and exited with 0"

    command: Annotated[
        tuple[str, ...],
        Rule('a list of a program and its arguments: ["./on-change", "--fast"]', _read_command, quoted=False),
    ]
    env: Annotated[
        tuple[str, ...],
        words('a list of names of environment variables: ["HTTPS_PROXY"]', pattern="[A-Za-z_][A-Za-z0-9_]*"),
    ] = ()

    def placed_in(self, folder: Path) -> Self:
        """A program with a "/" in it, made one of `folder`; another is found on the PATH."""
        program, *arguments = self.command
        return msgspec.structs.replace(self, command=(str(folder / program) if "/" in program else program, *arguments))

    def open(self, opening: Opening) -> Sink:
        """A sink that runs the program."""
        return make(self.command, allowed(opening.environ, self.env))


def allowed(environ: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Of an environment what every program may have, and the variables called `names`."""
    return {name: value for name, value in environ.items() if name in names or _INHERITED.fullmatch(name)}


class ProgramEnd(NamedTuple):
    """How a program ended: its exit code (negative: the signal), None if it was killed at the deadline; its stderr."""

    code: int | None
    stderr: str


def make(argv: Sequence[str], environ: Mapping[str, str], *, deadline: timedelta = DEADLINE) -> Sink:
    """A sink that runs `argv` once a message, in this environment and no other."""

    def send(message: Message) -> None:
        where = f"the command {http_client.escape(argv[0])} of {message.consumer!r}"
        try:
            ended = run(argv, environ, json_lines(message), deadline)
        except (OSError, ValueError) as error:  # ValueError: a NUL, a surrogate
            reason = error.strerror if isinstance(error, OSError) else error
            raise DeliveryError(
                f"{where} cannot be started: {reason}; check that it exists and can be executed"
            ) from None
        if ended.code is None:
            raise DeliveryError(f"{where} was killed: it ran longer than {deadline.total_seconds():g} s{_said(ended)}")
        if ended.code < 0:
            raise DeliveryError(f"{where} was ended by {_signal_name(-ended.code)}{_said(ended)}")
        if ended.code:
            raise DeliveryError(f"{where} failed with exit code {ended.code}{_said(ended)}")

    return send


def run(argv: Sequence[str], environ: Mapping[str, str], given: bytes, deadline: timedelta) -> ProgramEnd:
    """Run a program in a process group of its own with `given` on stdin. Raises OSError if it cannot be started."""
    ends_at = time.monotonic() + deadline.total_seconds()
    process = subprocess.Popen(  # noqa: S603 - a list of words from the configuration, and no shell
        argv,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    )
    try:
        stderr = _converse(process, given, ends_at)
        return ProgramEnd(process.poll(), stderr.decode("utf-8", "replace").strip())
    finally:
        if process.poll() is None:
            _kill(process)
        for pipe in (process.stdin, process.stderr):
            if pipe:
                pipe.close()


def _converse(process: "subprocess.Popen[bytes]", given: bytes, ends_at: float) -> bytes:
    """Feed stdin and listen to stderr until the program has ended or the time has; returns the end of stderr."""
    assert process.stdin  # noqa: S101 - both are pipes
    assert process.stderr  # noqa: S101
    unsent, stderr = memoryview(given), b""
    for pipe in (process.stdin, process.stderr):
        os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stderr, selectors.EVENT_READ)
        while (ended := process.poll() is not None) or time.monotonic() < ends_at:
            events = ready.select(0 if ended else _POLL_INTERVAL)
            for key, _ in events:
                if key.fileobj is process.stdin:
                    unsent = _feed(process.stdin.fileno(), unsent)
                    if not unsent:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                else:
                    piece = os.read(process.stderr.fileno(), _PIECE)
                    stderr = (stderr + piece)[-_KEPT:]
                    if not piece:
                        ready.unregister(process.stderr)
            if ended:
                break
    return stderr


def _feed(descriptor: int, unsent: memoryview) -> memoryview:
    """What is left to send; nothing, if the program does not want more."""
    try:
        return unsent[os.write(descriptor, unsent[:_PIECE]) :]
    except BrokenPipeError:
        return memoryview(b"")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)  # not yet waited for, so the id is still its own
    process.wait()


def _said(ended: ProgramEnd) -> str:
    if not ended.stderr:
        return "; it said nothing on stderr"
    shown = http_client.escape(ended.stderr[-_SHOWN:])
    return f" (it says: {'...' if len(ended.stderr) > _SHOWN else ''}{shown})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
