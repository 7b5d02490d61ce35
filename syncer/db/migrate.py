"""The schema behind an engine: created by the first sync, checked by one small query, upgraded only when asked.

- An upgrade is one transaction that excludes all others who try the same; it takes nothing from an analyst
  (migrations/operations.py), and where it would, it is refused in one sentence and nothing has happened.
- Ours is known by its version table, `syncer_version`: another program's tables, its views and its `alembic_version`
  in the same schema are no trouble, unless a name is wanted by both.
- Nothing here imports Alembic before there is something to migrate.
"""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.db import faults
from syncer.db.engine import is_to_be_made, location, reading, schema_change
from syncer.db.tables import metadata
from syncer.db.views import VIEWS
from syncer.errors import DatabaseNotReady, UsageError

VERSION_TABLE = "syncer_version"


def migrations_dir() -> Path:
    """Where the Alembic scripts are: inside an installed package, or beside it in a checkout."""
    packaged = Path(__file__).resolve().parent.parent / "_migrations"
    return packaged if packaged.is_dir() else packaged.parent.parent / "migrations"


HEAD = max(script.name.partition("_")[0] for script in (migrations_dir() / "versions").glob("*_*.py"))
"""The revision this code works with: the last of its migrations, whose files begin with their number."""


def ensure_schema(engine: Engine) -> None:
    """For writers: create the schema in an empty database; raise DatabaseNotReady for an older or newer one."""
    found = current(engine)
    if found is None:
        upgrade(engine)
        found = current(engine)
    _require_head(engine, found)


def require_schema(engine: Engine) -> None:
    """For everybody: raise DatabaseNotReady unless the schema is exactly the one this code works with."""
    _require_head(engine, current(engine))


def refuse_newer(engine: Engine) -> str | None:
    """The schema's revision; raises DatabaseNotReady if a newer syncer made it."""
    found = current(engine)
    _require_not_newer(engine, found)
    return found


def current(engine: Engine) -> str | None:
    """The schema's revision, None if there is none."""
    if is_to_be_made(engine):
        return None
    with reading(engine) as connection:
        return _revision(connection)


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`.

    Raises UsageError where a name that it needs is another program's, or where a view of somebody's would not survive.
    """
    with schema_change(engine) as connection:
        create_schema(connection, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema down to `revision`; raises UsageError where that would drop history."""
    with schema_change(engine) as connection:
        run_migrations(connection, "downgrade", revision)


def create_schema(connection: Connection, revision: str = "head") -> None:
    """`upgrade` within the caller's `schema_change`: seen by nobody before that commits."""
    if _revision(connection) is None:
        _refuse_names_in_use(connection)
    run_migrations(connection, "upgrade", revision)


def run_migrations(connection: Connection, direction: str, revision: str, *, folder: Path | None = None) -> None:
    """Run the scripts in `folder` (ours), within the caller's `schema_change`; UsageError where they refuse."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(folder or migrations_dir()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    where = f"the database at {location(connection.engine)}"
    try:
        getattr(command, direction)(config, revision)
    except CommandError as refused:
        raise UsageError(f"{where}: {refused}") from None
    except sa.exc.ProgrammingError as error:
        if faults.sqlstate(error.orig) != faults.NOT_ALLOWED:
            raise
        url = connection.engine.url
        reason = faults.said(url, error).partition(" LINE ")[0]
        raise UsageError(
            f"{where}: this role may not change the schema ({reason}); nothing was changed: as its owner, "
            f"{faults.create_advice(url, reason)}"
        ) from None


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - ours


def _require_head(engine: Engine, found: str | None) -> None:
    _require_not_newer(engine, found)
    if found is None:
        raise DatabaseNotReady(f"there is no syncer database at {location(engine)} yet: run `syncer sync` to create it")
    if found < HEAD:
        raise DatabaseNotReady(
            f"the database at {location(engine)} has schema {found}, this syncer needs {HEAD}: "
            "back it up, then run `syncer db upgrade`"
        )


def _require_not_newer(engine: Engine, found: str | None) -> None:
    if found is not None and found > HEAD:
        raise DatabaseNotReady(
            f"the database at {location(engine)} has schema {found}, newer than this syncer's {HEAD}: upgrade syncer"
        )


def _refuse_names_in_use(connection: Connection) -> None:
    inspector = sa.inspect(connection)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    if connection.dialect.name == "postgresql":
        there |= set(inspector.get_materialized_view_names())
    used = sorted(there & {*metadata.tables, *VIEWS})
    if used:
        raise UsageError(
            f"the database at {location(connection.engine)} has {', '.join(used)} of another program, or of a syncer "
            "before its first release: give syncer a database or a schema of its own; nothing was changed"
        )
