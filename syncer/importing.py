"""Recorded responses become history, as if lived through (law 10): same parse, diff, trust and apply, their own time.

A recording is JSON lines, gzipped or not: `{"observed_at": "<RFC 3339>", "body": "<the response as text>"}`, oldest
first. Each line is one run of kind `import`, so an interrupted import goes on where it stopped: a line that the source
has already seen (same time, same body) is passed over, one that an import failed on is tried again as long as nothing
later was observed, and any other that is not later than all before is refused.
The lease uses the real clock, the history the recorded one.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from syncer.apply import decide_and_apply
from syncer.attempt import Attempt, acquire, reading_digest
from syncer.core.observation import MAX_CLOCK_STEP_BACK
from syncer.db import results
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease, SourceRecord
from syncer.db.results import Shortcut
from syncer.errors import BadResponse, UsageError
from syncer.failures import record_failure_of
from syncer.poll import Observation, body_digest
from syncer.report import Report
from syncer.settings import SourceSettings

UNKNOWN_URL = "(imported)"
"""The URL of a source that is known from recordings only."""
_SHAPE = '{"observed_at": "2026-11-22T17:00:00Z", "body": "the response as text"}'


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One response of a recording; `line` counts from 1, and `name` is what a person calls it."""

    line: int
    observed_at: datetime
    body: bytes
    name: str


def read_recording(path: Path) -> Iterator[Recorded]:
    """The lines of a recording as they come; raises UsageError that names the line which is none."""
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _recorded(path, number, line)


class Extent(NamedTuple):
    """How many responses a recording has, and when the last one was observed."""

    responses: int
    ends_at: datetime | None


def extent(path: Path) -> Extent | None:
    """How much a recording holds; None for one that can be read only once, such as a pipe.

    It ends before a line that is none: whoever reads that far is told of it.
    """
    if not path.is_file():
        return None
    count, last = 0, None
    with suppress(UsageError):
        for recorded in read_recording(path):
            count, last = count + 1, recorded.observed_at
    return Extent(count, last)


def import_observation(attempt: Attempt, recorded: Recorded, *, ends_at: datetime | None = None) -> Report | None:
    """One recorded response as a run of kind `import`; None if the source has seen it already.

    `ends_at` is when the recording ends, if that is known: nothing is told of what expires before. Raises UsageError
    for a response that is not later than what the source has seen, or later than the clock; BadResponse for one that
    is no catalog; both leave a failed run, as in a sync. SourceBusy and DatabaseError too.
    """
    digest = body_digest(recorded.body)
    name = attempt.source.name
    with reading(attempt.engine) as connection:
        if results.already_imported(connection, name, recorded.observed_at, digest):
            return None
    lease: Lease | None = None
    try:
        with writing(attempt.engine) as connection:
            lease = acquire(connection, attempt, attempt.clock())
        _refuse_late(attempt, lease, recorded, digest)
        _refuse_future(recorded, attempt.clock())
        observation = Observation(
            bodies=(recorded.body,),
            at=recorded.observed_at,
            shortcut=Shortcut(
                etag=None,
                body_digest=digest,
                stored_with=reading_digest(attempt, None),
                stored_at=recorded.observed_at,
            ),
            expiring_after=ends_at,
        )
        return decide_and_apply(attempt, lease, observation)
    except BaseException as error:  # as for a sync: the attempt leaves a run (law 9) and goes on up
        if lease is None:
            raise
        seen = isinstance(error, BadResponse)  # it keeps the recorded time, and the body it failed on
        result = record_failure_of(
            attempt,
            lease,
            error,
            body_digest=digest if seen else None,
            at=recorded.observed_at if seen else None,
        )
        return Report(source=name, kind=attempt.kind, run_id=lease.run_id, result=result)


def import_settings(stored: SourceRecord | None, source: SourceSettings | None, name: str) -> SourceSettings:
    """What a recording is read by: the settings of the source it goes into, else what is stored of it.

    Its URL is the stored one: a recording says nothing of where it came from.
    """
    url = stored.url if stored else UNKNOWN_URL
    if source is not None:
        return source if stored is None else msgspec.structs.replace(source, url=url)
    settings = SourceSettings(name=name, url=url)
    if stored is None:
        return settings
    return msgspec.structs.replace(
        settings, format=stored.format, currency=stored.currency, price_units=stored.price_units or {}
    )


def _refuse_late(attempt: Attempt, lease: Lease, recorded: Recorded, digest: str) -> None:
    """Times only rise, also past those of responses that an import failed on (law 5); these may be tried again."""
    last = lease.last_time
    if last is None or recorded.observed_at > last:
        return
    with reading(attempt.engine) as connection:
        if results.has_failed_on(connection, lease.source_id, recorded.observed_at, digest):
            return
    observed = lease.past.last is not None and recorded.observed_at <= lease.past.last
    what = "the source has already been observed" if observed else "an import has already failed on a response"
    raise UsageError(
        f"{recorded.name} was observed at {recorded.observed_at.isoformat()}, but {what} at {last.isoformat()}: "
        "history is only appended to; import into a source of its own (--source)"
    )


def _refuse_future(recorded: Recorded, clock: datetime) -> None:
    """A time that is still to come would keep every live sync out until then (law 5)."""
    if recorded.observed_at - clock > MAX_CLOCK_STEP_BACK:
        raise UsageError(
            f"{recorded.name} was observed at {recorded.observed_at.isoformat()}, which is still to come: "
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
        raise UsageError(f"{path}, line {number} is not a recorded response: {why}. Expected: {_SHAPE}") from None


def _parsed(number: int, line: bytes) -> Recorded:
    document: Any = json.loads(line)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    for key in ("observed_at", "body"):
        if not isinstance(document.get(key), str):
            raise ValueError(f"it has no {key!r}, or one that is not text")
    return Recorded(
        name=f"line {number}", line=number, observed_at=_instant(document["observed_at"]), body=_bytes(document["body"])
    )


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"observed_at {text!r} is not a time") from None
    raise ValueError(f"observed_at {text!r} has no time zone")


def _bytes(body: str) -> bytes:
    """The bytes that upstream sent: what was no UTF-8 was kept as lone surrogates (syncer/archive.py)."""
    try:
        return body.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("its body holds a lone surrogate that stands for no byte") from None
