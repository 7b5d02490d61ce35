"""Imports: each response of a recording, or of a file's git history, is a run of its own."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy.engine import Engine

from syncer.db import leases
from syncer.db.engine import reading
from syncer.errors import BadResponse
from syncer.git_history import read_versions, versions
from syncer.importing import extent, import_observation, import_settings, read_recording
from syncer.service.context import Context
from syncer.service.outcomes import Imported
from syncer.settings import SourceSettings, unconfigured_trust

if TYPE_CHECKING:
    from syncer.importing import Recorded


class Target(NamedTuple):
    """The source that an import goes into; `trust` and `format` overrule its settings, where it has any."""

    source: str
    trust: bool | None = None
    format: str | None = None


def import_recording(
    context: Context, path: Path, target: Target, on_line: Callable[[Imported], object]
) -> list[Imported]:
    """Import the lines of a recording."""
    whole = extent(path)
    poll = _importer(context, target, whole.ends_at if whole else None)
    return _in_turn(map(poll, read_recording(path)), on_line)


def import_versions(
    context: Context, repository: Path, path: str, target: Target, on_line: Callable[[Imported], object]
) -> list[Imported]:
    """Import the versions of a file in a git repository."""
    found = versions(repository, path)
    poll = _importer(context, target, found[-1].at)
    return _in_turn(map(poll, read_versions(repository, path, found)), on_line)


def _importer(context: Context, target: Target, ends_at: datetime | None) -> "Callable[[Recorded], Imported]":
    engine = context.created_database()
    settings = _settings_of(context, engine, target)
    attempt = context.attempt(engine, settings, kind="import")

    def poll(recorded: "Recorded") -> Imported:
        try:
            report = import_observation(attempt, recorded, ends_at=ends_at)
        except BadResponse as error:
            return Imported(recorded.name, error=error)
        return Imported(recorded.name, report)

    return poll


def _settings_of(context: Context, engine: Engine, target: Target) -> SourceSettings:
    """What the responses are read by: the configuration's, else what is stored, under what the target says."""
    known = next((known for known in context.settings.sources if known.name == target.source), None)
    configured = unconfigured_trust(target.source, context.environ) if known is None else known.trust
    with reading(engine) as connection:
        stored = leases.stored_record(connection, target.source)
    settings = import_settings(stored, known, target.source)
    return msgspec.structs.replace(
        settings,
        trust=configured if target.trust is None else target.trust,
        format=target.format or settings.format,
        formats=context.settings.formats,
    )


def _in_turn(lines: Iterable[Imported], on_line: Callable[[Imported], object]) -> list[Imported]:
    done = []
    for line in lines:
        done.append(line)
        on_line(line)
    return done
