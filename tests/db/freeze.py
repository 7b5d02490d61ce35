"""Writes migrations/sql/0001_*.sql from the declared schema: `python -m tests.db.freeze`.

Only until the first release. Then 0001 is never edited again, and this file goes.
"""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment, SetTableComment

from syncer.db import views
from syncer.db.schema import metadata

FOLDER = Path(__file__).parents[2] / "migrations" / "sql"


def script(dialect: str) -> str:
    """The whole schema as SQL of this dialect."""
    url = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}[dialect]
    statements = [
        *_tables(sa.create_engine(url).dialect),
        *(text.strip() for text in views.triggers(dialect).values()),
        *(views.view(dialect, name).strip() for name in views.VIEWS),
    ]
    return "\n\n".join(statements) + "\n"


def _tables(dialect: sa.Dialect) -> Iterator[str]:
    for table in metadata.sorted_tables:
        yield _sql(CreateTable(table), dialect)
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            yield _sql(CreateIndex(index), dialect)
        if dialect.name == "postgresql":
            explained: list[sa.schema.ExecutableDDLElement] = [SetTableComment(table)]
            explained += [SetColumnComment(column) for column in table.columns if column.comment]
            yield "\n".join(_sql(comment, dialect) for comment in explained)


def _sql(element: sa.schema.ExecutableDDLElement, dialect: sa.Dialect) -> str:
    lines = str(element.compile(dialect=dialect)).replace("\t", "  ").strip().splitlines()
    text = "\n".join(line.rstrip() for line in lines if line.strip())
    return text.replace("%%", "%") + ";"


if __name__ == "__main__":
    for name in ("sqlite", "postgresql"):
        (FOLDER / f"0001_{name}.sql").write_text(script(name))
