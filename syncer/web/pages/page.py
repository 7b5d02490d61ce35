"""What a page is before it is HTML, and what several pages share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from syncer.errors import (
    AmbiguousModel,
    DatabaseError,
    DatabaseNotReady,
    SourceBusy,
    SyncerError,
    UnknownComponent,
    UnknownModel,
    UnknownSource,
    UsageError,
)
from syncer.history import ChangeRow
from syncer.web.query import Contradiction


class Twin(NamedTuple):
    """The same answer in another form."""

    label: str
    href: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page: its template and what goes into it.

    `section` is the entry of the navigation that it belongs to, `feed` the query of the feeds that follow it, `command`
    what says the same on the command line.
    """

    template: str
    title: str
    section: str = ""
    context: Mapping[str, Any] = {}
    status: int = 200
    headers: Mapping[str, str] = {}
    twins: Sequence[Twin] = ()
    feed: str = ""
    command: str = ""


_TITLES = {
    400: "This cannot be answered",
    404: "There is nothing here",
    405: "This page only reads",
    409: "Which one is meant?",
    414: "Too long",
    503: "The database cannot be asked now",
}


def status_of(error: SyncerError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, UnknownModel | UnknownSource | UnknownComponent):
        return 404
    if isinstance(error, AmbiguousModel | Contradiction):
        return 409
    if isinstance(error, DatabaseNotReady | DatabaseError | SourceBusy):
        return 503
    return 400 if isinstance(error, UsageError) else 500


def problem(status: int, text: str, error: SyncerError | None = None) -> Page:
    """The page that says what is wrong."""
    return Page(
        template="problem.html",
        title=_TITLES.get(status, "Something went wrong"),
        status=status,
        context={
            "text": text,
            "candidates": error.candidates if isinstance(error, AmbiguousModel) else (),
            "nearest": error.nearest if isinstance(error, UnknownModel) else (),
        },
    )


def together(changes: Iterable[ChangeRow]) -> Iterator[list[ChangeRow]]:
    """The changes of one source that have one window, as a person reads them: under one time."""
    for _, group in groupby(changes, key=lambda row: (row.source, row.effective_at, row.changed_after)):
        yield list(group)
