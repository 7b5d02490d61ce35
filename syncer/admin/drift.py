"""Does a database have exactly the declared schema? Alembic compares tables and indexes; the rest of it we do.

- Views, triggers, functions, the conditions of partial indexes and CHECK constraints: Alembic sees none of them.
- Another program's tables and views in the same database are none of our business, nor is what somebody wrote into a
  COMMENT on one of ours, or an index that an analyst added; one that is UNIQUE refuses rows, and is.
- Nothing is written; what PostgreSQL must parse to compare is made temporary, and rolled back.
"""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.db.engine import reading
from syncer.db.migrate import VERSION_TABLE
from syncer.db.schema import metadata
from syncer.db.views import VIEWS, create, triggers, view

_CAST = re.compile(r"::(character varying|text|numeric|bigint)(\[\])?")


def drift(engine: Engine) -> list[str]:
    """What differs from the declared schema, a line each; empty if nothing does. Nothing is written."""
    programs = _sqlite_programs if engine.dialect.name == "sqlite" else _postgresql_programs
    with reading(engine) as connection:
        return [*_tables(connection), *_conditions(connection), *programs(connection)]


# -- tables ------------------------------------------------------------------------------------------------------------


def _tables(connection: Connection) -> Iterator[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": _is_ours, "version_table": VERSION_TABLE}
    )
    for difference in compare_metadata(context, metadata):
        whole = difference[0] if isinstance(difference, list) else difference
        if not whole[0].endswith("_comment"):
            yield _moved_column(*whole) if isinstance(difference, list) else _moved_thing(*whole)


def _is_ours(thing: Any, name: str | None, kind: str, reflected: bool, _other: object) -> bool:  # noqa: ANN401, FBT001 - Alembic's
    """Another program's tables are none of our business, nor is an index that only makes somebody's question faster."""
    if kind == "index" and reflected:
        return bool(thing.unique) or any(index.name == name for index in metadata.tables[thing.table.name].indexes)
    return not (kind == "table" and reflected and name not in metadata.tables)


def _moved_column(operation: str, _schema: object, table: str, column: str, *rest: Any) -> str:  # noqa: ANN401 - Alembic's
    _details, found, declared = rest
    return f"column {table}.{column}: its {operation.removeprefix('modify_')} is {found!s}, not {declared!s}"


def _moved_thing(operation: str, *things: Any) -> str:  # noqa: ANN401 - Alembic's
    verb, _, kind = operation.partition("_")
    names = ".".join(str(getattr(thing, "name", thing)) for thing in things if thing is not None)
    return f"{kind} {names} {'is missing' if verb == 'add' else 'is not declared'}"


def _conditions(connection: Connection) -> Iterator[str]:
    """The WHERE of partial indexes and the values of CHECK constraints."""
    inspector, dialect = sa.inspect(connection), connection.dialect.name
    there = set(inspector.get_table_names())
    for table in (table for table in metadata.sorted_tables if table.name in there):
        partial = {str(index["name"]): index.get("dialect_options", {}) for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            found = partial.get(str(index.name), {}).get(f"{dialect}_where")
            if index.name in partial and _condition(found) != _condition(index.dialect_options[dialect]["where"]):
                yield f"index {index.name} has another condition than the declared one"
        checks = {str(check["name"]): check["sqltext"] for check in inspector.get_check_constraints(table.name)}
        for check in (each for each in table.constraints if isinstance(each, sa.CheckConstraint)):
            if _tokens(checks.get(str(check.name), "")) != _tokens(str(check.sqltext)):
                yield f"check {check.name} is missing or differs from the declared one"


def _condition(condition: Any) -> str:  # noqa: ANN401 - text, an expression, or nothing
    """A condition in one spelling: PostgreSQL prints `((kind)::text <> 'updated'::text)`."""
    if isinstance(condition, sa.ClauseElement):
        condition = condition.compile(compile_kwargs={"literal_binds": True})
    text = re.sub(r"::\w+|[()]|\b\w+\.", "", str(condition or ""))
    return _plain(text.replace("<>", "!="))


def _tokens(text: str) -> list[str]:
    """The words of a CHECK, without the casts and parentheses that PostgreSQL adds."""
    return re.findall(r"'[^']*'|\w+|[<>=]+", _CAST.sub("", text.lower()))


# -- views, triggers, functions ----------------------------------------------------------------------------------------


def _sqlite_programs(connection: Connection) -> Iterator[str]:
    """SQLite keeps the very text of each CREATE."""
    rows = connection.execute(sa.text("SELECT type || ' ' || name, sql FROM sqlite_master"))
    found = {name: _plain(text or "") for name, text in rows}
    declared = {f"view {name}": view("sqlite", name) for name in VIEWS}
    declared |= {f"trigger {name}": text for name, text in triggers("sqlite").items()}
    yield from _compare(found, {name: _plain(create(text)) for name, text in declared.items()})


def _postgresql_programs(connection: Connection) -> Iterator[str]:
    """PostgreSQL keeps a parsed view: ours is parsed the same way, as a temporary one that nothing commits."""
    found = _pairs(
        connection,
        "SELECT 'view ' || relname, pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v' AND pg_table_is_visible(oid)",
    )
    found_triggers = _pairs(
        connection,
        "SELECT 'trigger ' || tgname, pg_get_triggerdef(t.oid, true)"
        " FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
        " WHERE tgenabled IN ('O', 'A') AND pg_table_is_visible(c.oid) AND relname = ANY(%(ours)s)",
        ours=list(metadata.tables),
    )
    functions = _pairs(
        connection, "SELECT 'function ' || proname, prosrc FROM pg_proc WHERE pg_function_is_visible(oid)"
    )
    found |= {name: _words(text) for name, text in found_triggers.items()}
    found |= {name: _plain(text) for name, text in functions.items()}
    yield from _compare(found, dict(_program(name, text) for name, text in triggers("postgresql").items()))
    for name in VIEWS:
        yield from _compare(found, {f"view {name}": _parsed_view(connection, name, create(view("postgresql", name)))})


def _program(name: str, text: str) -> tuple[str, str]:
    """A declared function or trigger in the spelling in which it is compared."""
    if "CREATE FUNCTION" in text:
        return f"function {name}", _plain(text.split("$$")[1])
    return f"trigger {name}", _words(create(text))


def _parsed_view(connection: Connection, name: str, text: str) -> str:
    """The declared view as this database would print it; "" where its tables cannot carry it."""
    text = text.replace(f"CREATE VIEW {name} ", f"CREATE TEMPORARY VIEW declared_{name} ", 1)
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(text, execution_options={"no_parameters": True})
            definition = sa.text("SELECT pg_get_viewdef(CAST(:view AS regclass))")
            parsed: str = connection.execute(definition, {"view": f"declared_{name}"}).scalar_one()
    except sa.exc.ProgrammingError:  # a column or table that it names is gone
        return ""
    return parsed


def _pairs(connection: Connection, query: str, **given: list[str]) -> dict[str, str]:
    return {row[0]: row[1] or "" for row in connection.exec_driver_sql(query, given or None)}


def _compare(found: dict[str, str], declared: dict[str, str]) -> Iterator[str]:
    for name, text in declared.items():
        if name not in found:
            yield f"{name} is missing or disabled"
        elif found[name] != text:
            yield f"{name} differs from the declared one"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _words(text: str) -> str:
    """A trigger's words in a fixed order: PostgreSQL prints its events in its own, and NOT IN as <> ALL (ARRAY[..])."""
    words = re.findall(r"\w+", _CAST.sub("", text.lower()))
    return " ".join(sorted(word for word in words if word not in {"not", "in", "all", "array"}))
