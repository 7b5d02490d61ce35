"""syncer keeps a history of an AI model catalog that can be trusted.

    import syncer
    from syncer import history

    with syncer.open("syncer.toml") as s:
        s.sync()
        s.deliver()
        with s.connect() as connection:
            print(history.as_json(history.changes(connection, kinds={"repriced"})))

The command line is `syncer --help`. What is raised on purpose is in `syncer.errors`. Importing this package loads
nothing else: it is a part of each start.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from syncer.service import Syncer

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(  # noqa: A001 - as gzip and sqlite3 have theirs
    config: "Path | str | None" = None,
    *,
    database: "Path | str | None" = None,
    sources: Sequence[Mapping[str, Any]] | None = None,
    alerts: Sequence[Mapping[str, Any]] | None = None,
) -> "Syncer":
    """One configuration and its database, and all that the command line can do with them.

        syncer.open()                                     as `syncer` does: ./syncer.toml, and SYNCER_* variables
        syncer.open("etc/syncer.toml")                    as `syncer --config etc/syncer.toml`
        syncer.open(database="prices.db", sources=[{"name": "acme", "url": "https://acme.example/v1"}])

    `sources` and `alerts` are the tables [[sources]] and [[alerts]] of a syncer.toml; with either of them, no file and
    no SYNCER_* variable is read. `database` is a URL or the path of a SQLite file. Nothing is connected or created
    yet. Raises SettingsError that names the setting.
    """
    import os
    from datetime import UTC, datetime
    from pathlib import Path

    from syncer import settings
    from syncer.service import Syncer

    tables = {"sources": sources, "alerts": alerts}
    given = {name: [dict(table) for table in value] for name, value in tables.items() if value is not None}
    if given and config is not None:
        raise TypeError("give either a configuration file, or sources and alerts")
    loaded = settings.load(
        {} if given else os.environ,
        config=None if config is None else Path(config),
        cwd=Path.cwd(),
        database=None if database is None else str(database),
        table=given or None,
    )
    return Syncer(loaded, environ=os.environ, clock=lambda: datetime.now(UTC))
