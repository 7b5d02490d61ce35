"""Alembic's entry: `syncer db ...` hands over its connection; in a checkout `alembic` makes its own.

Views and triggers go before the tables change and come back after, from the text frozen for the revision arrived at
(migrations/sql): SQLite cannot alter a table that a view names, and silently drops the triggers of one it rebuilds.
No migration can forget it, because none has to remember it.
"""

import os
import re
from pathlib import Path

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError

from syncer.db import engine as db
from syncer.db.schema import metadata
from syncer.errors import SyncerError

FROZEN = Path(__file__).parent / "sql"
CREATES = re.compile(r"CREATE (VIEW|TRIGGER|FUNCTION) (\w+)(?:[^;]*? ON (\w+))?")


def frozen(revision: str | None, dialect: str) -> list[str]:
    """The CREATE statements in force at `revision`: those of the latest file that is not newer."""
    files = [path for path in sorted(FROZEN.glob(f"*_{dialect}.sql")) if path.name[:4] <= (revision or "")]
    return re.split(r"\n\n(?=CREATE )", files[-1].read_text().strip()) if files else []


def drop(connection: sa.Connection, statement: str) -> None:
    kind, name, table = next(CREATES.finditer(statement)).groups()
    postgresql = connection.dialect.name == "postgresql"
    suffix = {"FUNCTION": "()", "TRIGGER": f" ON {table}" if postgresql else ""}.get(kind, "")
    connection.exec_driver_sql(f"DROP {kind} {name}{suffix}")


def migrate(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, transactional_ddl=True)
    dialect, at = connection.dialect.name, context.get_context().get_current_revision
    for statement in reversed(frozen(at(), dialect)):
        drop(connection, statement)
    with context.begin_transaction():
        context.run_migrations()
    for statement in frozen(at(), dialect):
        connection.exec_driver_sql(statement)


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("syncer's migrations look at the database they change: there is no offline mode")
if given is not None:
    migrate(given)
else:
    url = os.environ.get("SYNCER_DATABASE_URL") or context.config.get_main_option("sqlalchemy.url") or ""
    try:
        with db.schema_change(db.open_engine(url)) as own:
            migrate(own)
    except SyncerError as error:
        raise CommandError(str(error)) from error
