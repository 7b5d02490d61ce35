"""Recorded responses become history, as if lived through (law 10): same parse, diff, trust and apply, their own time.

A recording is JSON lines, gzipped or not: `{"observed_at": "<RFC 3339>", "body": "<the response as text>"}`, oldest
first. Each line is one run of kind `import`, so an interrupted import goes on where it stopped: a line that the source
has already seen (same time, same body) is passed over, any other that is not later than what it has seen is refused.
The lease uses the real clock, the history the recorded one.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
from sqlalchemy.engine import Engine

from syncer.core import parse
from syncer.core.observation import MAX_CLOCK_STEP_BACK
from syncer.db import store
from syncer.db.engine import reading, writing
from syncer.db.store import Lease
from syncer.errors import BadResponse, UsageError
from syncer.settings import SourceSettings
from syncer.sync import Observation, Report, decide_and_apply, record_failure_of, report_of, rules_digest

if TYPE_CHECKING:
    from syncer.core.decide import Decision

UNKNOWN_URL = "(imported)"
"""The URL of a source that is known from recordings only."""
_SHAPE = '{"observed_at": "2026-11-22T17:00:00Z", "body": "the response as text"}'


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a recording; `line` counts from 1."""

    line: int
    observed_at: datetime
    body: bytes


def read_recording(path: Path) -> Iterator[Recorded]:
    """The lines of a recording as they come; raises UsageError that names the line which is none."""
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _recorded(path, number, line)


def count_lines(path: Path) -> int | None:
    """How many lines a recording has; None for one that can be read only once, such as a pipe."""
    if not path.is_file():
        return None
    with _lines(path) as lines:
        return sum(1 for line in lines if line.strip())


def import_observation(
    engine: Engine,
    source: SourceSettings | None,
    name: str,
    recorded: Recorded,
    *,
    trust: bool,
    clock: Callable[[], datetime],
    owner: str,
) -> Report | None:
    """One recorded response as a run of kind `import`; None if the source has seen it already.

    `source` are the settings of `name`, if it has any. Raises UsageError for a response that is not later than what
    the source has seen, or later than the clock; BadResponse for one that is no catalog; both leave a failed run, as
    in a sync. SourceBusy and DatabaseError too.
    """
    digest = parse.body_digest(recorded.body)
    with reading(engine) as connection:
        if store.already_imported(connection, name, recorded.observed_at, digest):
            return None
        origin = _origin(store.stored_origin(connection, name), source, name)
    settings = msgspec.structs.replace(source or SourceSettings(name=name, url=origin.url), trust=trust)
    lease: Lease | None = None
    decision: Decision | None = None
    try:
        with writing(engine) as connection:
            lease = store.acquire(
                connection, origin, kind="import", owner=owner, now=clock(), lease_for=settings.lease, key=None
            )
        _refuse_late(lease, recorded)
        _refuse_future(recorded, clock())
        rules = rules_digest(settings, None)
        observation = Observation(
            body=recorded.body, at=recorded.observed_at, digest=digest, remember=(None, digest, rules)
        )
        result, decision = decide_and_apply(engine, settings, lease, observation, clock=clock)
    except BaseException as error:  # as for a sync: the attempt leaves a run (law 9) and goes on up
        if lease is None:
            raise
        failed_on = digest if isinstance(error, BadResponse) else None
        result = record_failure_of(engine, lease, error, None, clock, body_digest=failed_on)
    return report_of(name, "import", lease.run_id, result, decision)


def _origin(stored: store.SourceRecord | None, source: SourceSettings | None, name: str) -> store.SourceRecord:
    """Settings say what currency and unit are; without any, what is stored stays."""
    known = stored or store.SourceRecord(name=name, url=UNKNOWN_URL)
    if source is None:
        return known
    return msgspec.structs.replace(known, currency=source.currency, price_units=source.price_units or None)


def _refuse_late(lease: Lease, recorded: Recorded) -> None:
    last = lease.last_observed_at
    if last is not None and recorded.observed_at <= last:
        raise UsageError(
            f"line {recorded.line} was observed at {recorded.observed_at.isoformat()}, but the source has already been "
            f"observed at {last.isoformat()}: history is only appended to; import into a source of its own (--source)"
        )


def _refuse_future(recorded: Recorded, clock: datetime) -> None:
    """A time that is still to come would keep every live sync out until then (law 5)."""
    if recorded.observed_at - clock > MAX_CLOCK_STEP_BACK:
        raise UsageError(
            f"line {recorded.line} was observed at {recorded.observed_at.isoformat()}, which is still to come: "
            f"this machine's clock says {clock.isoformat()}; correct the recording, or the clock"
        )


# -- reading -----------------------------------------------------------------------------------------------------------


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """The raw lines of a file, which is opened once and never rewound: a pipe is as good."""
    try:
        with path.open("rb") as file:
            zipped = file.peek(2)[:2] == b"\x1f\x8b"
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if zipped else file
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _recorded(path: Path, number: int, line: bytes) -> Recorded:
    try:
        return _parsed(number, line)
    except (ValueError, RecursionError) as error:
        why = "it is not JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else error
        raise UsageError(f"{path}, line {number} is no recorded response: {why}. Expected: {_SHAPE}") from None


def _parsed(number: int, line: bytes) -> Recorded:
    document: Any = json.loads(line)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    for key in ("observed_at", "body"):
        if not isinstance(document.get(key), str):
            raise ValueError(f"it has no {key!r}, or one that is no text")
    return Recorded(line=number, observed_at=_instant(document["observed_at"]), body=_bytes(document["body"]))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"observed_at {text!r} is no time") from None
    raise ValueError(f"observed_at {text!r} has no time zone")


def _bytes(body: str) -> bytes:
    """The bytes that upstream sent: what was no UTF-8 was kept as lone surrogates (syncer/archive.py)."""
    try:
        return body.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("its body holds a lone surrogate that stands for no byte") from None
