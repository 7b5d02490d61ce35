"""Every error that syncer raises on purpose, split by whose fault it is.

    SyncerError
    |-- UsageError            the person's: a bad option, setting or question         exit 2
    |   |-- SettingsError     syncer.toml or a SYNCER_* variable
    |   |-- DatabaseNotReady  no database, an older schema or a newer one
    |   |-- UnknownSource     the history has no source of that name
    |   |-- UnknownModel      the history has no model of that name or alias
    |   |-- AmbiguousModel    two or more models answer to it
    |   `-- UnknownComponent  the model never had a price of that name
    |-- UpstreamError         the other side's: the run is recorded as failed         exit 1
    |   |-- FetchError        no usable HTTP response (network, status, size, time)
    |   `-- BadResponse       a response that is no catalog (HTML, another shape, status failed)
    |       `-- ListMoved     pages that are not those of one list: it changed while it was fetched
    |-- ClockError            this machine's clock is behind what was observed        exit 1
    |-- DatabaseError         the database cannot be reached or written               exit 1
    |-- SourceBusy            somebody else is syncing this source                    exit 75
    |   `-- Fenced            we were too slow: our lease was taken over, nothing was written
    `-- SeveralErrors         more than one of the above, of several sources          the worst of theirs

Anything else that escapes is a bug in syncer and keeps its traceback.
"""

from collections.abc import Collection, Sequence

DONE, FAILED, USAGE, HELD, BUSY = 0, 1, 2, 3, 75
"""Exit codes."""
WORST_FIRST = (FAILED, USAGE, HELD, BUSY, DONE)


def worst(codes: Collection[int]) -> int:
    """The exit code of what did several things, each of which ended with one of these codes."""
    return next(code for code in WORST_FIRST if code in codes)


class SyncerError(Exception):
    """The root: `except SyncerError` catches all that syncer raises on purpose."""

    exit_code = FAILED


class UsageError(SyncerError):
    """A person asked for something that cannot be; the message says what to do instead."""

    exit_code = USAGE


class SettingsError(UsageError):
    """A setting is missing, unknown or out of range; the message names it and where it stands."""


class DatabaseNotReady(UsageError):  # noqa: N818 - a state, not an error of the database
    """The database does not exist, or its schema is older or newer than this syncer."""


class UnknownSource(UsageError):  # noqa: N818 - what was asked for is unknown, nothing broke
    """The history has no source of that name; the message names those it has."""


class UnknownModel(UsageError):  # noqa: N818 - what was asked for is unknown, nothing broke
    """No model was ever listed under that name, nor under that alias at that time.

    `nearest` are the names and aliases most like it, best first; often empty.
    """

    def __init__(self, message: str, *, nearest: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest = nearest


class AmbiguousModel(UsageError):  # noqa: N818 - the question is what is ambiguous
    """More than one model answers to a name or alias: none is picked.

    `candidates` are the (source, model name) pairs that do, in order.
    """

    def __init__(self, message: str, *, candidates: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.candidates = candidates


class UnknownComponent(UsageError):  # noqa: N818 - what was asked for is unknown, nothing broke
    """The model never had a price of that name; `known` are the components that it had."""

    def __init__(self, message: str, *, known: tuple[str, ...]) -> None:
        super().__init__(message)
        self.known = known


class UpstreamError(SyncerError):
    """The provider's endpoint gave nothing that can be trusted; nothing but the run's outcome is recorded.

    `http_status` is the last status seen, or None where no response came.
    """

    def __init__(self, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class FetchError(UpstreamError):
    """No usable HTTP response: unreachable, too slow, too large, refused, redirected elsewhere."""


class BadResponse(UpstreamError):  # noqa: N818 - the response is what is bad
    """A response arrived that is no catalog: not JSON, another shape, or `status` is not `success`."""


class ListMoved(BadResponse):
    """A name stood on two pages, or the total moved between them: worth fetching once more."""


class ClockError(SyncerError):
    """The clock is more than five minutes behind the source's last observation (law 5)."""


class DatabaseError(SyncerError):
    """The database could not be reached, read or written; the message says which and why."""


class SourceBusy(SyncerError):  # noqa: N818 - the field's word for it
    """Another syncer holds this source's lease. Not a failure: it is doing the work."""

    exit_code = BUSY


class Fenced(SourceBusy):
    """Our lease ran out and another syncer took the source over: nothing of ours was written (law 7)."""


class SeveralErrors(SyncerError):  # noqa: N818 - it is several of them
    """More than one of several sources or consumers failed; `errors` are theirs, in their order."""

    def __init__(self, errors: Sequence[SyncerError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = tuple(errors)
        self.exit_code = worst({error.exit_code for error in errors})
