"""What everything here rests on: the settings, the database, the clock."""

import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
from sqlalchemy.engine import Engine

from syncer.db import migrate
from syncer.db.engine import open_engine
from syncer.settings import Secret, Settings, SourceSettings, format_of, read_api_key, read_headers

if TYPE_CHECKING:
    from syncer.attempt import Archive, Attempt
    from syncer.core.rules import Policy

Clock = Callable[[], datetime]


class Context:
    """One configuration with its database, the environment, the clock, and the name that its leases carry."""

    def __init__(
        self, settings: Settings, *, environ: Mapping[str, str], clock: Clock, owner: str | None = None
    ) -> None:
        self.settings = settings
        self.environ, self.clock = environ, clock
        self.owner = owner or process_name()
        self._engines: dict[bool, Engine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    def engine(self, *, read_only: bool = False) -> Engine:
        """The configured database, whatever its schema."""
        if read_only not in self._engines:
            self._engines[read_only] = open_engine(self.settings.database_url, read_only=read_only)
        return self._engines[read_only]

    def created_database(self) -> Engine:
        """The database for what syncs: created if it is empty, refused if it is older or newer."""
        engine = self.engine()
        migrate.ensure_schema(engine)
        return engine

    def existing_database(self, *, read_only: bool = False) -> Engine:
        """The database for what writes, or asks, about what is there; raises DatabaseNotReady where there is none."""
        engine = self.engine(read_only=read_only)
        migrate.require_schema(engine)
        return engine

    def database_or_none(self) -> Engine | None:
        """The database for a dry run, which may not even create it: None where there is none yet."""
        return None if migrate.current(self.engine(read_only=True)) is None else self.existing_database(read_only=True)

    def archive(self, directory: Path | None = None) -> "Archive | None":
        """How the bodies of responses are kept, if they are: in `directory`, else where the settings say."""
        folder = directory or self.settings.save_bodies
        if folder is None:
            return None
        from syncer.archive import archive_body

        return partial(archive_body, Path(folder))

    def attempt(self, engine: Engine, source: SourceSettings, **more: Any) -> "Attempt":  # noqa: ANN401 - fields of it
        """What an attempt at `source` is made with, but for its key; raises SettingsError for what cannot be read."""
        from syncer.attempt import Attempt

        return Attempt(
            engine=engine,
            source=source,
            format=format_of(source),
            clock=self.clock,
            owner=self.owner,
            **more,
        )

    def with_credentials(self, attempt: "Attempt") -> "Attempt":
        """The attempt with the source's key and headers as they are now; raises SettingsError where one is missing."""
        key = read_api_key(attempt.source, self.environ)
        headers = read_headers(attempt.source, self.environ)
        hidden = [value.reveal() for value in headers.values() if isinstance(value, Secret)]
        plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        return msgspec.structs.replace(attempt, key=key.reveal() if key else None, headers=plain, secrets=tuple(hidden))


def policies(settings: Settings) -> "dict[str, Policy]":
    """The rules of each configured source by its name, as far as it has any."""
    from syncer.attempt import policy

    found = ((source.name, policy(source)) for source in settings.sources)
    return {name: rules for name, rules in found if rules is not None}


def process_name() -> str:
    """Who holds the leases of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
