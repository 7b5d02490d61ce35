"""Alembic's entry: `syncer db ...` hands over its connection; in a checkout `alembic` makes its own.

The version table has a name of ours, so that another program's Alembic in the same schema is no trouble. All of an
upgrade is one transaction, on SQLite too, and it takes nothing from an analyst (operations.py).
"""

import os
from pathlib import Path

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError, load_python_file

from syncer.db import engine as db
from syncer.db import migrate
from syncer.db.schema import metadata
from syncer.errors import SyncerError

operations = load_python_file(str(Path(__file__).parent), "operations.py")


def run(connection: sa.Connection) -> None:
    """Run what was asked for; raises CommandError if a view of somebody's would not survive it."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        transactional_ddl=True,
        version_table=migrate.VERSION_TABLE,
    )
    sqlite = connection.dialect.name == "sqlite"
    before = operations.working_views(connection) if sqlite else frozenset[str]()
    with context.begin_transaction():
        context.run_migrations()
    operations.require_working(connection, before)


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("syncer's migrations look at the database they change: there is no offline mode")
if given is not None:
    run(given)
else:
    url = os.environ.get("SYNCER_DATABASE_URL") or context.config.get_main_option("sqlalchemy.url") or ""
    try:
        with db.schema_change(db.open_engine(url)) as own:
            run(own)
    except SyncerError as error:
        raise CommandError(str(error)) from error
