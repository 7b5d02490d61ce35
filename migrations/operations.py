"""What migrations are made of, beside Alembic's own operations. It imports nothing from syncer.

- A view is replaced so that what stands on it survives: views and materialized views of others, GRANTs, comments,
  options such as security_invoker, triggers and rules of others. Where it must be dropped, it is refused with the names
  of what stands on it.
- A new field may be filled in for old rows from the element that each row keeps (`raw`): that sets what was never
  recorded and alters nothing that was. It is the one time that the triggers of the history are lifted.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

_CANNOT_REPLACE = "42P16"  # invalid_table_definition: a column is gone, renamed, moved or of another type
_PAGE = 2_000


class View(NamedTuple):
    """A view in both dialects, each text as its .sql file has it."""

    name: str
    sqlite: str
    postgresql: str


def read_script(name: str) -> str:
    """The text of a file in migrations/sql."""
    return (Path(__file__).parent / "sql" / name).read_text()


def run_script(text: str) -> None:
    """Run plain SQL of any number of statements, as part of the migration's transaction."""
    connection = op.get_bind()
    for statement in _statements(text) if connection.dialect.name == "sqlite" else [text]:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _statements(text: str) -> Iterator[str]:
    """SQLite's driver takes them one by one; a trigger has semicolons inside."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


# -- views -------------------------------------------------------------------------------------------------------------


def replace_views(*views: View) -> None:
    """Give these views another text; they come in an order in which they can be created.

    On PostgreSQL columns may be appended to a view that others stand on. Anything else drops it, which takes all
    views that stand on it in one call, and raises CommandError with the names of any others.
    """
    if op.get_bind().dialect.name == "sqlite":
        _replace_on_sqlite(views)
        return
    names = [view.name for view in views]
    _require_owned(names)
    given = {name: _given(name) for name in names}
    try:
        with op.get_bind().begin_nested():
            for view in views:
                run_script(view.postgresql.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _CANNOT_REPLACE:
            raise
        drop_views(*names)
        for view in views:
            run_script(view.postgresql)
    for name in names:
        _give_back(name, given[name])


def drop_views(*names: str) -> None:
    """Drop these views, the last one first; raises CommandError with the names of others that stand on them."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _require_owned(names)
        standing = sorted({other for name in names for other in _standing_on(name)} - set(names))
        if standing:
            raise CommandError(
                f"{', '.join(standing)} stand on {', '.join(names)}, which this changes: drop them first, and create "
                "them again afterwards; nothing was changed"
            )
    for name in reversed(names):
        connection.exec_driver_sql(f"DROP VIEW {name}")


def _replace_on_sqlite(views: Sequence[View]) -> None:
    """No view stands on another one there; but a trigger of somebody's goes with its view."""
    connection = op.get_bind()
    for view in views:
        query = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name")
        triggers = connection.execute(query, {"name": view.name}).scalars().all()
        connection.exec_driver_sql(f"DROP VIEW {view.name}")
        run_script(view.sqlite)
        for trigger in triggers:
            connection.exec_driver_sql(trigger, execution_options={"no_parameters": True})


def _require_owned(names: Sequence[str]) -> None:
    query = sa.text(
        "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE relname = ANY(:names) AND relkind = 'v'"
        " AND pg_table_is_visible(oid) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1"
    )
    others = [f"{view} (of {owner})" for view, owner in op.get_bind().execute(query, {"names": list(names)})]
    if others:
        raise CommandError(f"only the owner of {', '.join(others)} may change this: nothing was changed")


def _standing_on(name: str) -> list[str]:
    """The views and materialized views that depend on this one, directly or through others."""
    query = sa.text(
        """
        WITH RECURSIVE standing (oid) AS (
          SELECT CAST(:name AS regclass)::oid
          UNION
          SELECT r.ev_class FROM standing s
            JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
              AND d.classid = 'pg_rewrite'::regclass
            JOIN pg_rewrite r ON r.oid = d.objid)
        SELECT oid::regclass::text FROM standing WHERE oid <> CAST(:name AS regclass)::oid
        """
    )
    return list(op.get_bind().execute(query, {"name": name}).scalars())


# What a view of ours has from others on PostgreSQL, as statements that repeat it: (column or NULL, statement).
_GIVEN = """
    WITH view AS (SELECT * FROM pg_class WHERE oid = CAST(:name AS regclass)),
      granted AS (
        SELECT NULL::name AS field, 0 AS attnum, g.* FROM view, aclexplode(relacl) g WHERE g.grantee <> view.relowner
        UNION ALL
        SELECT a.attname, a.attnum, g.* FROM view JOIN pg_attribute a ON a.attrelid = view.oid, aclexplode(a.attacl) g)
    SELECT NULL::name, format('ALTER VIEW %I OWNER TO %I', relname, pg_get_userbyid(relowner)) FROM view
    UNION ALL
    SELECT field, format('GRANT %s%s ON %I TO %s%s', privilege_type,
      CASE WHEN field IS NULL THEN '' ELSE format(' (%I)', field) END, relname,
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
      CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM view, granted
    UNION ALL
    SELECT a.attname, format('COMMENT ON %s IS %L',
      CASE WHEN a.attname IS NULL THEN format('VIEW %I', relname) ELSE format('COLUMN %I.%I', relname, a.attname) END,
      d.description)
    FROM view JOIN pg_description d ON d.objoid = view.oid AND d.classoid = 'pg_class'::regclass
      LEFT JOIN pg_attribute a ON a.attrelid = view.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    UNION ALL
    SELECT NULL, format('ALTER VIEW %I SET (%s)', relname, array_to_string(reloptions, ', ')) FROM view
    WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT NULL, regexp_replace(pg_get_triggerdef(t.oid), '^CREATE', 'CREATE OR REPLACE')
    FROM view JOIN pg_trigger t ON t.tgrelid = view.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT NULL, regexp_replace(pg_get_ruledef(r.oid), '^CREATE', 'CREATE OR REPLACE')
    FROM view JOIN pg_rewrite r ON r.ev_class = view.oid AND r.rulename <> '_RETURN'
"""


def _given(name: str) -> list[tuple[str | None, str]]:
    return [(column, statement) for column, statement in op.get_bind().execute(sa.text(_GIVEN), {"name": name})]


def _give_back(name: str, given: Sequence[tuple[str | None, str]]) -> None:
    """Repeat what the view had, but for columns that it has no longer."""
    connection = op.get_bind()
    columns = {column["name"] for column in sa.inspect(connection).get_columns(name)}
    for column, statement in given:
        if column is None or column in columns:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


# -- a field that old rows get from their own elements -----------------------------------------------------------------


def add_field(column: Callable[[], sa.Column[Any]], read: Callable[[str, str], Any]) -> None:
    """Add a tracked field to `models` and `changes`, with the value that each row's own element has.

    `column` makes a fresh column. `read` is called with (raw, name of the source's format) and gives the value; where
    it raises ValueError, and for a removal, which has no element, the value known before stays.
    """
    connection, name = op.get_bind(), column().name
    for table in ("models", "changes"):
        op.add_column(table, column())
    with _history_unlocked(connection):
        values = sa.table("changes", sa.column("id"), column())
        update = sa.update(values).where(values.c.id == sa.bindparam("row")).values({name: sa.bindparam("value")})
        for page in _filled(connection, read):
            connection.execute(update, page)
    connection.exec_driver_sql(
        f"UPDATE models SET {name} = (SELECT c.{name} FROM changes c WHERE c.model_id = models.id"  # noqa: S608
        " ORDER BY c.effective_at DESC LIMIT 1)"
    )


def _filled(connection: sa.Connection, read: Callable[[str, str], Any]) -> Iterator[list[dict[str, Any]]]:
    """The values of all rows of `changes`, a page at a time, each model's in its order."""
    query = sa.text(
        "SELECT c.model_id, c.id, c.raw, s.format FROM changes c JOIN sources s ON s.id = c.source_id"
        " WHERE c.model_id > :model OR c.model_id = :model AND c.id > :id ORDER BY c.model_id, c.id LIMIT :page"
    )
    model, last, known = 0, 0, None
    while rows := connection.execute(query, {"model": model, "id": last, "page": _PAGE}).all():
        page = []
        for row in rows:
            known = _read(read, row, known if row.model_id == model else None)
            model, last = row.model_id, row.id
            page.append({"row": last, "value": known})
        yield page


def _read(read: Callable[[str, str], Any], row: Any, known: Any) -> Any:  # noqa: ANN401 - a row, and a column's value
    if row.raw is None:
        return known
    try:
        return read(row.raw, row.format)
    except ValueError:
        return known


@contextmanager
def _history_unlocked(connection: sa.Connection) -> Iterator[None]:
    """Updates of `changes` are let through, in this transaction only."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE changes DISABLE TRIGGER changes_append_only")
        yield
        connection.exec_driver_sql("ALTER TABLE changes ENABLE TRIGGER changes_append_only")
        return
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'changes_no_update'"
    trigger = connection.exec_driver_sql(query).scalar_one()
    connection.exec_driver_sql("DROP TRIGGER changes_no_update")
    yield
    connection.exec_driver_sql(trigger)


# -- views of others, on SQLite ----------------------------------------------------------------------------------------


def working_views(connection: sa.Connection) -> frozenset[str]:
    """The views that answer. SQLite lets tables change under a view, and tells only whoever asks it."""
    return frozenset(name for name in _view_names(connection) if _answers(connection, name))


def require_working(connection: sa.Connection, before: frozenset[str]) -> None:
    """Raise CommandError with the names of views that answered before and are still there, but do so no longer."""
    if not before:
        return
    broken = sorted(name for name in _view_names(connection) if name in before and not _answers(connection, name))
    if broken:
        raise CommandError(
            f"{', '.join(broken)} would not work after this: drop them first, and create them again afterwards; "
            "nothing was changed"
        )


def _view_names(connection: sa.Connection) -> Sequence[str]:
    names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'view'").scalars().all()
    return [str(name) for name in names]


def _answers(connection: sa.Connection, name: str) -> bool:
    quoted = name.replace('"', '""')
    try:
        connection.exec_driver_sql(f'SELECT * FROM "{quoted}" LIMIT 0')  # noqa: S608
    except sa.exc.OperationalError:
        return False
    return True
