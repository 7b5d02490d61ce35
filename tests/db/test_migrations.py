"""From nothing to the declared schema and back, with data, on both databases, in a checkout and from a wheel."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

from syncer.admin.drift import drift
from syncer.admin.verify import verify
from syncer.db import engine as db
from syncer.db import migrate
from syncer.db.schema import metadata
from syncer.db.views import VIEWS
from syncer.errors import DatabaseNotReady, UsageError
from tests.db import START, execute, freeze, opened, rows
from tests.db.shop import Shop, listing, wander
from tests.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "migrations"
REVISIONS = [script.revision for script in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))]


def everything(engine: Engine, *, but: Collection[str] = ()) -> dict[str, list[str]]:
    """All rows of all tables, but for the version table and those named; NULL is left out: a column still to come."""
    tables = set(sa.inspect(engine).get_table_names()) - {migrate.VERSION_TABLE, *but}
    with db.reading(engine) as connection:
        found = {name: connection.execute(sa.text(f"SELECT * FROM {name}")).mappings().all() for name in tables}
    return {
        name: sorted(repr({k: v for k, v in row.items() if v is not None}) for row in found[name]) for name in found
    }


def ask_every_view(engine: Engine) -> None:
    """Each view that there is can be asked."""
    for view in sa.inspect(engine).get_view_names():
        rows(engine, f"SELECT * FROM {view}")


def syncer(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`syncer` as a process on the database at `url`."""
    return run("syncer", *arguments, SYNCER_DATABASE_URL=url)


def run(module: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A module as a process, without our environment."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


# -- the files ---------------------------------------------------------------------------------------------------------


def test_there_is_one_head() -> None:
    """The migrations form one line that ends at the revision this code works with, and revisions sort by age."""
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [migrate.HEAD]
    assert sorted(REVISIONS) == REVISIONS


@pytest.mark.parametrize("path", sorted((MIGRATIONS / "versions").glob("*.py")), ids=lambda path: path.stem)
def test_migrations_import_nothing_of_ours(path: Path) -> None:
    """A released migration does not change when the code does: it imports nothing from syncer."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "syncer" not in {name.split(".")[0] for name in imported}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_first_migration_is_the_declared_schema(dialect: str) -> None:
    """Until the first release 0001 is what the code declares, text by text: `python -m tests.db.freeze` writes it."""
    assert (MIGRATIONS / "sql" / f"0001_{dialect}.sql").read_text() == freeze.script(dialect)


# -- the declared schema -----------------------------------------------------------------------------------------------


def test_empty_to_head_is_the_declared_schema(database_url: str) -> None:
    """A migrated database has exactly the declared tables, indexes, views, triggers and functions, and no rows."""
    with opened(database_url) as engine:
        assert drift(engine) == []
        assert migrate.current(engine) == migrate.HEAD
        assert set(sa.inspect(engine).get_table_names()) == {*metadata.tables, migrate.VERSION_TABLE}
        assert set(sa.inspect(engine).get_view_names()) == set(VIEWS)
        assert {name for name, found in everything(engine).items() if found} == {"feed"}


def test_each_database_has_its_own_feed_id(tmp_path: Path) -> None:
    """Law 8: a feed is told from the feed of another database by a random id."""
    ids = set()
    for name in ("one", "two"):
        with opened(f"sqlite:///{tmp_path}/{name}.db") as engine:
            ids |= set(rows(engine, "SELECT feed_id FROM feed"))
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", feed_id) for (feed_id,) in ids)


def test_comments_on_postgresql(postgres_url: str) -> None:
    """PostgreSQL itself explains each table, and each column that the declaration explains."""
    with opened(postgres_url) as engine:
        inspector = sa.inspect(engine)
        for table in metadata.sorted_tables:
            assert inspector.get_table_comment(table.name)["text"] == table.comment
            found = {column["name"]: column["comment"] for column in inspector.get_columns(table.name)}
            assert found == {column.name: column.comment for column in table.columns}
        query = "SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        assert rows(engine, f"{query} AND obj_description(oid, 'pg_class') IS NULL") == [(0,)]


APPEND_ONLY = "append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
DRIFTS = {
    # words of the line that must come of it, and what is done to the schema
    "a table dropped": ("table rejected_rows is missing", "DROP TABLE rejected_rows"),
    "a column dropped": ("column runs.http_status is missing", "ALTER TABLE runs DROP COLUMN http_status"),
    "a column added": ("column runs.mood is not declared", "ALTER TABLE runs ADD COLUMN mood TEXT"),
    "an index dropped": ("index ix_changes_observed_at is missing", "DROP INDEX ix_changes_observed_at"),
    "an index added": ("index ix_mine is not declared", "CREATE UNIQUE INDEX ix_mine ON runs (id, kind)"),
    "an index of other columns": (
        "ix_runs_source_id_id",
        "DROP INDEX ix_runs_source_id_id",
        "CREATE INDEX ix_runs_source_id_id ON runs (id, source_id)",
    ),
    "an index of another condition": (
        "index uq_runs_running has another condition",
        "DROP INDEX uq_runs_running",
        "CREATE UNIQUE INDEX uq_runs_running ON runs (source_id) WHERE outcome = 'open'",
    ),
    "an index without its condition": (
        "index ix_models_expires_at has another condition",
        "DROP INDEX ix_models_expires_at",
        "CREATE INDEX ix_models_expires_at ON models (source_id, expires_at)",
    ),
    "a view dropped": ("view availability is missing", "DROP VIEW availability"),
    "a view changed": (
        "view feed_events differs",
        "DROP VIEW feed_events",
        "CREATE VIEW feed_events AS SELECT id FROM changes",
    ),
}
DRIFTS_OF = {
    "sqlite": {
        "a trigger dropped": ("trigger changes_no_delete is missing", "DROP TRIGGER changes_no_delete"),
        "a trigger changed": (
            "trigger changes_no_update differs",
            "DROP TRIGGER changes_no_update",
            "CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes BEGIN SELECT RAISE(IGNORE); END",
        ),
    },
    "postgresql": {
        "a column of another type": ("runs.http_status: its type", "ALTER TABLE runs ALTER http_status TYPE bigint"),
        "a column that may be NULL": ("runs.kind: its nullable", "ALTER TABLE runs ALTER kind DROP NOT NULL"),
        "a unique constraint dropped": (
            "uq_changes_run_id_model_id is missing",
            "ALTER TABLE changes DROP CONSTRAINT uq_changes_run_id_model_id",
        ),
        "a foreign key dropped": (
            "fk_changes_run_id_runs is missing",
            "ALTER TABLE changes DROP CONSTRAINT fk_changes_run_id_runs",
        ),
        "a check dropped": (
            "check ck_changes_added is missing",
            "ALTER TABLE changes DROP CONSTRAINT ck_changes_added",
        ),
        "a check changed": (
            "check ck_changes_added is missing or differs",
            "ALTER TABLE changes DROP CONSTRAINT ck_changes_added",
            "ALTER TABLE changes ADD CONSTRAINT ck_changes_added CHECK (kind <> 'added' OR old_price IS NOT NULL)",
        ),
        "a trigger dropped": ("trigger changes_append_only is missing", "DROP TRIGGER changes_append_only ON changes"),
        "a word more in an open set": (
            "trigger runs_kind differs",
            "DROP TRIGGER runs_kind ON runs",
            "CREATE TRIGGER runs_kind AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION append_only()",
        ),
        "a trigger disabled": (
            "trigger changes_append_only is missing or disabled",
            "ALTER TABLE changes DISABLE TRIGGER changes_append_only",
        ),
        "a trigger for replicas only": (
            "trigger changes_append_only is missing or disabled",
            "ALTER TABLE changes ENABLE REPLICA TRIGGER changes_append_only",
        ),
        "a trigger changed": (
            "trigger changes_append_only differs",
            "DROP TRIGGER changes_append_only ON changes",
            "CREATE TRIGGER changes_append_only BEFORE UPDATE ON changes EXECUTE FUNCTION append_only()",
        ),
        "a function changed": (
            "function append_only differs",
            f"CREATE OR REPLACE FUNCTION {APPEND_ONLY} RETURN NULL; END $$",
        ),
        "a function of the same name elsewhere": (
            "function append_only is missing",
            "CREATE SCHEMA other",
            "ALTER FUNCTION append_only SET SCHEMA other",
        ),
    },
}
CASES = [(kind, name) for kind, own in DRIFTS_OF.items() for name in (*DRIFTS, *own)]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> dict[str, str]:
    """A migrated database of each kind, to be copied."""
    urls = {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('pristine')}/syncer.db"}
    urls["postgresql"] = postgres.create_database()
    for url in urls.values():
        with opened(url):
            pass
    return urls


@pytest.fixture
def copy(pristine: dict[str, str], postgres: Postgres, tmp_path: Path, kind: str) -> Iterator[Engine]:
    """A copy of the migrated database."""
    if kind == "sqlite":
        target = tmp_path / "syncer.db"
        shutil.copy(pristine[kind].removeprefix("sqlite:///"), target)
        url = f"sqlite:///{target}"
    else:
        name = f"copy_{tmp_path.name}"[:60].lower().replace("-", "_")
        template = sa.make_url(pristine[kind]).database
        with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as link:
            link.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
            link.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        url = postgres.url_of(name)
    with opened(url, ready=False) as engine:
        yield engine


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_drift_sees(copy: Engine, kind: str, name: str) -> None:
    """Whatever differs from the declared schema is named: tables, columns, indexes, views, triggers, functions."""
    said, *statements = (DRIFTS | DRIFTS_OF[kind])[name]
    execute(copy, *statements)
    found = drift(copy)
    assert [line for line in found if said in line], found


def test_beside_another_program(database_url: str) -> None:
    """Another program's tables, its Alembic, and an analyst's index on ours are no drift, and are left alone."""
    with opened(database_url, ready=False) as engine:
        execute(
            engine,
            "CREATE TABLE invoices (id INTEGER PRIMARY KEY, name TEXT)",
            "CREATE VIEW open_invoices AS SELECT name FROM invoices",
            "INSERT INTO invoices VALUES (1, 'x')",
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('9999')",
        )
        migrate.ensure_schema(engine)
        execute(engine, "CREATE INDEX ix_mine ON changes (run_id, kind)")
        assert drift(engine) == []
        migrate.downgrade(engine, "base")
        assert rows(engine, "SELECT * FROM open_invoices") == [("x",)]
        assert rows(engine, "SELECT * FROM alembic_version") == [("9999",)]
        assert set(sa.inspect(engine).get_table_names()) == {"invoices", "alembic_version", migrate.VERSION_TABLE}


@pytest.mark.parametrize("taken", ["CREATE TABLE models (id INTEGER)", "CREATE VIEW catalog AS SELECT 1 AS one"])
def test_a_name_that_another_program_has(sqlite_url: str, taken: str) -> None:
    """A database in which another program has a name that we need is told apart from ours, and left as it is."""
    with opened(sqlite_url, ready=False) as engine:
        execute(engine, taken)
        with pytest.raises(UsageError, match=r"(models|catalog) of another program.*nothing was changed"):
            migrate.ensure_schema(engine)
        assert migrate.current(engine) is None


# -- up and down, with data --------------------------------------------------------------------------------------------


def test_each_step_from_nothing(database_url: str) -> None:
    """Without data, every revision goes up, down and up again by itself, to nothing and back."""
    with opened(database_url, ready=False) as engine:
        for revision in REVISIONS:
            migrate.upgrade(engine, revision)
            migrate.downgrade(engine, "-1")
            migrate.upgrade(engine, revision)
            ask_every_view(engine)
        assert drift(engine) == []
        migrate.downgrade(engine, "base")
        assert set(sa.inspect(engine).get_table_names()) == {migrate.VERSION_TABLE}
        assert sa.inspect(engine).get_view_names() == []
        migrate.upgrade(engine)
        assert drift(engine) == []


def test_history_is_never_dropped(database_url: str) -> None:
    """Law 2: going below the first revision is refused while there is history; nothing has happened then."""
    with opened(database_url) as engine:
        wander(engine, runs=3, seed=6)
        before = everything(engine)
        with pytest.raises(UsageError, match="never drops it"):
            migrate.downgrade(engine, "base")
        assert (everything(engine), migrate.current(engine), drift(engine)) == (before, migrate.HEAD, [])
    refused = run("alembic", "downgrade", "base", SYNCER_DATABASE_URL=database_url)
    assert refused.returncode != 0
    assert "never drops it" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def upgrade_by(folder: Path, engine: Engine) -> None:
    """What `migrate.upgrade` does, by the migrations of another folder."""
    with db.schema_change(engine) as connection:
        migrate.run_migrations(connection, "upgrade", "head", folder=folder)


def later(tmp_path: Path, upgrade: str) -> Path:
    """A copy of our migrations with one more, whose upgrade() is this code."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "0002_later.py").write_text(
        "import json\n"
        "from pathlib import Path\n"
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "from alembic.util import load_python_file\n"
        "operations = load_python_file(str(Path(__file__).parent.parent), 'operations.py')\n"
        "View = operations.View\n"
        "revision, down_revision = '0002', '0001'\n"
        f"def upgrade():\n{textwrap.indent(textwrap.dedent(upgrade), '    ')}\n"
    )
    return folder


def test_a_failed_migration_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    """A migration that fails midway is rolled back wholly: tables, data, views and triggers are as before."""
    folder = later(
        tmp_path,
        """
        op.add_column('runs', sa.Column('mood', sa.Text()))
        op.create_table('moods', sa.Column('id', sa.Integer(), primary_key=True))
        op.execute('UPDATE runs SET mood = kind')
        op.execute('DROP VIEW offers')
        op.execute('INSERT INTO no_such_table VALUES (1)')
        """,
    )
    with opened(database_url) as engine:
        wander(engine, runs=8, seed=1)
        before = everything(engine)
        with pytest.raises(sa.exc.DBAPIError, match="no_such_table"):
            upgrade_by(folder, engine)
        assert (everything(engine), migrate.current(engine), drift(engine)) == (before, migrate.HEAD, [])
        with pytest.raises(sa.exc.IntegrityError):
            execute(engine, "DELETE FROM changes")


# -- what others built on it -------------------------------------------------------------------------------------------

A_COLUMN_MORE = """
texts = {
    dialect: (Path(SQL) / dialect / 'price_periods.sql').read_text()
    .replace('p.change_id\\n', "p.change_id, 'x' AS mood\\n")
    for dialect in ('sqlite', 'postgresql')
}
operations.replace_views(View('price_periods', **texts))
"""
SQL = str(ROOT / "syncer" / "db" / "views")
THEIRS = (
    "CREATE VIEW my_report AS SELECT model, component, price FROM price_periods",
    "CREATE VIEW my_summary AS SELECT count(*) AS n FROM my_report",
)


def test_an_upgrade_keeps_what_stands_on_a_view(postgres_url: str, tmp_path: Path) -> None:
    """Views, GRANTs, comments, options, triggers and rules of others survive a migration that changes the view."""
    folder = later(tmp_path, f"SQL = {SQL!r}\n{A_COLUMN_MORE}")
    with opened(postgres_url) as engine:
        wander(engine, runs=4, seed=2)
        role = f"analyst_{engine.url.database}"
        execute(
            engine,
            *THEIRS,
            "CREATE MATERIALIZED VIEW my_prices AS SELECT * FROM price_periods",
            f"CREATE ROLE {role}",
            f"GRANT SELECT ON price_periods TO {role} WITH GRANT OPTION",
            f"GRANT SELECT (price) ON price_periods TO {role}",
            "COMMENT ON VIEW price_periods IS 'as I like it'",
            "COMMENT ON COLUMN price_periods.price IS 'in dollars'",
            "COMMENT ON TABLE models IS 'what there is'",
            "COMMENT ON COLUMN models.price IS 'in dollars'",
            *HOOKS,
        )
        assert drift(engine) == []
        before = [rows(engine, query) for query in (GRANTS, COMMENTS, OPTIONS, "SELECT * FROM my_summary")]
        upgrade_by(folder, engine)
        assert "mood" in {column["name"] for column in sa.inspect(engine).get_columns("price_periods")}
        assert [rows(engine, query) for query in (GRANTS, COMMENTS, OPTIONS, "SELECT * FROM my_summary")] == before
        execute(engine, "REFRESH MATERIALIZED VIEW my_prices", f"DROP OWNED BY {role}", f"DROP ROLE {role}")


GRANTS = "SELECT relacl::text FROM pg_class WHERE relname = 'price_periods'"
COMMENTS = "SELECT objsubid, description FROM pg_description WHERE objoid = 'price_periods'::regclass ORDER BY objsubid"
OPTIONS = """
    SELECT reloptions, pg_get_triggerdef(t.oid), pg_get_ruledef(r.oid) FROM pg_class c
    JOIN pg_trigger t ON t.tgrelid = c.oid JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
    ORDER BY c.relname
"""
HOOKS = (
    "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    *(
        statement
        for view in ("price_periods", "availability")
        for statement in (
            f"ALTER VIEW {view} SET (security_invoker = true)",
            f"CREATE TRIGGER theirs INSTEAD OF INSERT ON {view} FOR EACH ROW EXECUTE FUNCTION theirs()",
            f"CREATE RULE theirs AS ON DELETE TO {view} DO INSTEAD NOTHING",
        )
    ),
)
DROPS = """
text = 'CREATE VIEW availability AS SELECT s.name AS source, m.name AS model FROM models m, sources s;'
operations.replace_views(View('availability', text, text))
"""


def test_a_view_that_must_be_dropped_is_granted_again(postgres_url: str, tmp_path: Path) -> None:
    """Where columns go, the view is dropped and made again with its GRANTs, and all else that others gave it."""
    folder = later(tmp_path, DROPS)
    with opened(postgres_url) as engine:
        role = f"analyst_{engine.url.database}"
        execute(engine, f"CREATE ROLE {role}", f"GRANT SELECT ON availability TO {role}", *HOOKS)
        before = [rows(engine, query) for query in (GRANTS.replace("price_periods", "availability"), OPTIONS)]
        upgrade_by(folder, engine)
        assert [rows(engine, query) for query in (GRANTS.replace("price_periods", "availability"), OPTIONS)] == before
        assert [column["name"] for column in sa.inspect(engine).get_columns("availability")] == ["source", "model"]
        execute(engine, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_drop_under_others_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """Where a view must be dropped, the upgrade names what stands on it, in one sentence, and nothing has happened."""
    folder = later(tmp_path, DROPS)
    with opened(postgres_url) as engine:
        execute(
            engine,
            "CREATE VIEW mine AS SELECT listed_from FROM availability",
            "CREATE MATERIALIZED VIEW mine_too AS SELECT * FROM mine",
        )
        with pytest.raises(UsageError, match=r"mine, mine_too stand on availability.*nothing was changed"):
            upgrade_by(folder, engine)
        assert (migrate.current(engine), drift(engine)) == (migrate.HEAD, [])


def test_a_view_of_another_owner_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """Only its owner may replace a view: the upgrade by another role names the view and the owner, and does nothing."""
    folder = later(tmp_path, f"SQL = {SQL!r}\n{A_COLUMN_MORE}")
    with opened(postgres_url) as engine:
        other, owner = f"other_{engine.url.database}", f"owner_{engine.url.database}"
        execute(
            engine, f"CREATE ROLE {other} LOGIN", f"CREATE ROLE {owner}", f"ALTER VIEW price_periods OWNER TO {owner}"
        )
        execute(engine, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {other}")
        url = sa.make_url(postgres_url).set(username=other).render_as_string()
        with opened(url, ready=False) as theirs, pytest.raises(UsageError, match=rf"price_periods \(of {owner}\)"):
            upgrade_by(folder, theirs)
        assert migrate.current(engine) == migrate.HEAD
        execute(engine, f"DROP OWNED BY {other}", f"DROP ROLE {other}", f"REASSIGN OWNED BY {owner} TO postgres")
        execute(engine, f"DROP ROLE {owner}")


def test_views_and_triggers_of_others_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    """On SQLite a view of somebody's goes on answering, and a trigger on a view of ours is still there."""
    folder = later(tmp_path, f"SQL = {SQL!r}\n{A_COLUMN_MORE}")
    with opened(sqlite_url) as engine:
        wander(engine, runs=4, seed=2)
        trigger = "CREATE TRIGGER theirs INSTEAD OF INSERT ON price_periods BEGIN SELECT 1; END"
        execute(engine, *THEIRS, trigger, "CREATE VIEW broken AS SELECT gone FROM nowhere")
        before = rows(engine, "SELECT * FROM my_report ORDER BY 1, 2, 3")
        upgrade_by(folder, engine)
        assert rows(engine, "SELECT * FROM my_report ORDER BY 1, 2, 3") == before
        assert rows(engine, "SELECT sql FROM sqlite_master WHERE name = 'theirs'") == [(trigger,)]


def test_a_view_that_would_break_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    """An upgrade after which somebody's view would not answer any more is called off, with its name."""
    folder = later(tmp_path, DROPS)
    with opened(sqlite_url) as engine:
        execute(engine, "CREATE VIEW mine AS SELECT listed_from FROM availability")
        with pytest.raises(UsageError, match=r"mine would not work after this.*nothing was changed"):
            upgrade_by(folder, engine)
        assert (migrate.current(engine), drift(engine)) == (migrate.HEAD, [])


# -- a field more ------------------------------------------------------------------------------------------------------

A_FIELD_MORE = f"""
SQL = {SQL!r}
def read(raw, format):
    return json.loads(raw).get('license')
operations.add_field(lambda: sa.Column('license', sa.String(255)), read)
texts = {{
    dialect: (Path(SQL) / dialect / 'catalog.sql').read_text().replace('m.expires_at\\n', 'm.expires_at, m.license\\n')
    for dialect in ('sqlite', 'postgresql')
}}
operations.replace_views(View('catalog', **texts))
"""


def test_a_new_field_has_its_past(database_url: str, tmp_path: Path) -> None:
    """Law 2: a field that upstream always sent gets what each row's own element says; all else stays as recorded."""
    folder = later(tmp_path, A_FIELD_MORE)
    with opened(database_url) as engine:
        shop = Shop(engine)
        licenses = {1: "MIT", 2: "MIT", 3: "GPL"}
        for day, license_ in licenses.items():
            raw = json.dumps({"license": license_, "input": day})
            shop.at(START + timedelta(days=day), {"A": listing("A", {"input": str(day)}, raw=raw)})
        shop.at(START + timedelta(days=4), {"A": None, "B": listing("B", {"input": "1"}, raw="no JSON")})
        before = everything(engine)
        upgrade_by(folder, engine)
        query = "SELECT license FROM changes WHERE name = 'A' ORDER BY id"
        assert rows(engine, query) == [("MIT",), ("MIT",), ("GPL",), ("GPL",)]
        assert rows(engine, "SELECT name, license FROM models ORDER BY name") == [("A", "GPL"), ("B", None)]
        assert rows(engine, "SELECT model, license FROM catalog") == [("B", None)]
        without = [re.sub(r"'license': '\w+'", "", row) for row in everything(engine)["changes"]]
        assert [row.rstrip("}, ") for row in without] == [row.rstrip("}, ") for row in before["changes"]]
        for statement in ("UPDATE changes SET license = 'x'", "DELETE FROM changes"):
            with pytest.raises(sa.exc.IntegrityError, match="append-only"):
                execute(engine, statement)
        assert [verdict for verdict in verify(engine) if not verdict.ok and verdict.table != "schema"] == []


# -- older, newer, none ------------------------------------------------------------------------------------------------


def test_an_older_database_is_refused(database_url: str) -> None:
    """An older schema is refused by readers and writers, with the command that upgrades it."""
    with opened(database_url) as engine:
        execute(engine, "UPDATE syncer_version SET version_num = '0000'")
        for ask in (migrate.ensure_schema, migrate.require_schema):
            with pytest.raises(DatabaseNotReady, match=f"0000.*{migrate.HEAD}.*`syncer db upgrade`"):
                ask(engine)


def test_a_newer_database_is_refused(database_url: str) -> None:
    """A newer schema is refused, also by `db upgrade`: an old syncer must not write what it does not understand."""
    with opened(database_url) as engine:
        execute(engine, "UPDATE syncer_version SET version_num = '9998'")
        for ask in (migrate.ensure_schema, migrate.require_schema, migrate.refuse_newer):
            with pytest.raises(DatabaseNotReady, match=r"newer.*upgrade syncer"):
                ask(engine)
    refused = syncer(database_url, "db", "upgrade")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "newer" in refused.stderr


@pytest.mark.parametrize("command", ["models", "changes", "status", "held", "db check", "db current", "db verify"])
def test_looking_creates_no_database(sqlite_url: str, tmp_path: Path, command: str) -> None:
    """A command that only looks does not create the database that it looks for."""
    looked = syncer(sqlite_url, *command.split())
    assert looked.returncode == (0 if command == "db current" else 2), looked.stderr
    assert "Traceback" not in looked.stderr
    assert list(tmp_path.iterdir()) == []


# -- many at once ------------------------------------------------------------------------------------------------------


def test_eight_upgrades_at_once(database_url: str) -> None:
    """Eight processes that upgrade an empty database at the same moment do not collide: each ends well, one schema."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "syncer", "db", "upgrade"],
            env={"PATH": os.defpath, "SYNCER_DATABASE_URL": database_url},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(8)
    ]
    ended = [process.communicate(timeout=100)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 8, ended
    with opened(database_url, ready=False) as engine:
        assert drift(engine) == []
        assert rows(engine, "SELECT count(*) FROM feed") == [(1,)]


def test_eight_threads_at_once(database_url: str) -> None:
    """Eight threads of one process that meet on an empty database do not collide either."""
    failures: list[BaseException] = []

    def ensure() -> None:
        try:
            with opened(database_url):
                pass
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with opened(database_url) as engine:
        assert rows(engine, "SELECT count(*) FROM feed") == [(1,)]


# -- where the migrations are ------------------------------------------------------------------------------------------


def test_alembic_in_a_checkout(database_url: str) -> None:
    """In a checkout `alembic` upgrades what SYNCER_DATABASE_URL names, finds nothing to add, and goes back."""

    def alembic(*arguments: str) -> str:
        done = run("alembic", *arguments, SYNCER_DATABASE_URL=database_url)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    alembic("upgrade", "head")
    assert f"{migrate.HEAD} (head)" in alembic("current")
    assert "No new upgrade operations" in alembic("check")
    with opened(database_url, ready=False) as engine:
        assert drift(engine) == []
    alembic("downgrade", "base")


def test_alembic_without_a_database() -> None:
    """`alembic` on a database that cannot be reached says so in a line, without the password (law 11)."""
    done = run("alembic", "current", SYNCER_DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d?connect_timeout=2")
    assert done.returncode != 0
    assert "cannot be used" in done.stdout + done.stderr
    assert not {"Traceback", "hunter2"} & set(re.findall(r"\w+", done.stdout + done.stderr))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as an installation would lay it out."""
    pytest.importorskip("hatchling", reason="the wheel is built without an index: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q")
    built = run("pip", "wheel", *options, "-w", str(folder), str(ROOT), HOME=str(folder))
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_migrations_travel_in_the_wheel(installed: Path, database_url: str, tmp_path: Path) -> None:
    """From an installed wheel `syncer db upgrade` finds its migrations in the package and makes the same schema."""
    environment: dict[str, Any] = {"SYNCER_DATABASE_URL": database_url, "PYTHONPATH": str(installed)}
    where = run("syncer", "--version", cwd=tmp_path, **environment)
    assert where.returncode == 0, where.stderr
    upgraded = run("syncer", "db", "upgrade", cwd=tmp_path, **environment)
    assert upgraded.returncode == 0, upgraded.stderr
    assert run("syncer", "db", "check", cwd=tmp_path, **environment).returncode == 0
    with opened(database_url, ready=False) as engine:
        assert drift(engine) == []


def test_the_wheel_holds_every_migration(installed: Path) -> None:
    """The wheel's migrations are the checkout's, file by file; tests stay out of it."""
    packaged = installed / "syncer" / "_migrations"

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert files(packaged) == files(MIGRATIONS)
    assert {path.name for path in installed.iterdir() if not path.name.endswith("dist-info")} == {"syncer"}
