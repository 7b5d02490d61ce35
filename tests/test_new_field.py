"""A tracked field is stated once: one is added to a copy of the tree, over a database that has a history."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa

from syncer.db.engine import open_engine

ROOT = Path(__file__).parent.parent
RECIPE = (ROOT / "syncer/manual/internals.md").read_text("utf-8").partition("## How to add a tracked field")[2]
FIELD, MIGRATION = (
    textwrap.dedent(text) for text in re.findall(r"```\w+\n(.*?) *```", RECIPE.partition("\n## ")[0], re.DOTALL)
)
DAYS = [
    ("2026-01-01", {"A": ("MIT", 1), "B": ("GPL", 2), "C": (None, 3)}),
    ("2026-01-02", {"A": ("MIT", 4), "B": ("GPL", 2), "C": (None, 3)}),
    ("2026-01-03", {"A": ("Apache-2.0", 5), "B": ("GPL", 2), "C": (None, 3)}),
]


def test_a_new_field_has_a_past_and_makes_no_news(tmp_path: Path, database_url: str) -> None:
    """Law 2: each row has what its own element says, the next sync finds no change, and everything derives."""
    before, after = Tree(ROOT, database_url), Tree(with_license(tmp_path), database_url)
    recording = tmp_path / "days.jsonl"
    recording.write_text("".join(line(day, models) for day, models in DAYS))
    before.run("import", recording, "--source", "shop")
    events = before.run("changes", "--json")
    after.run("db", "upgrade")

    engine = open_engine(database_url)
    with engine.connect() as connection:
        past = connection.execute(sa.text("SELECT name, license FROM changes ORDER BY id")).all()
        now = connection.execute(sa.text("SELECT model, license FROM catalog ORDER BY model")).all()
    engine.dispose()
    assert sorted(past[:3]) == [("A", "MIT"), ("B", "GPL"), ("C", None)]
    assert past[3:] == [("A", "MIT"), ("A", "Apache-2.0")]
    assert now == [("A", "Apache-2.0"), ("B", "GPL"), ("C", None)]

    recording.write_text(line("2026-01-04", DAYS[-1][1]))
    assert "1 unchanged; 0 changes" in after.run("import", recording, "--source", "shop")
    assert len(after.run("changes", "--json").splitlines()) == len(events.splitlines())
    assert "license" in json.dumps(json.loads(after.run("schema", "event")))
    rows = list(csv.DictReader(io.StringIO(after.run("export", "--format", "csv"))))
    assert [row["license"] for row in rows][-2:] == ["MIT", "Apache-2.0"]
    assert "ok: law 2" in after.run("db", "verify")
    assert "the schema is as it should be" in after.run("db", "check")

    recording.write_text(line("2026-01-05", {"A": ("BSD", 5), "B": ("GPL", 2), "C": (None, 3)}))
    after.run("import", recording, "--source", "shop")
    (*_, last) = after.run("changes", "--json").splitlines()
    assert json.loads(last)["data"]["changed"] == {"license": ["Apache-2.0", "BSD"]}


@pytest.mark.parametrize(
    ("forgotten", "named"),
    [("syncer/core/model.py", "core/fields.py and Tracked differ"), ("syncer/core/fields.py", "Tracked differ")],
)
def test_a_forgotten_place_is_named_at_import(tmp_path: Path, forgotten: str, named: str) -> None:
    """Whoever adds a field in one place alone is told of the other before anything runs."""
    tree = with_license(tmp_path)
    shutil.copy(ROOT / forgotten, tree / forgotten)
    done = subprocess.run(
        [sys.executable, "-c", "import syncer.core.model"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert named in done.stderr


class Tree:
    """The command line of one tree, on one database."""

    def __init__(self, root: Path, database_url: str) -> None:
        self._root, self._url = root, database_url

    def run(self, *words: str | Path) -> str:
        """What a command prints; it must not fail."""
        done = subprocess.run(
            [sys.executable, "-m", "syncer", *map(str, words)],
            cwd=self._root,
            env={**os.environ, "PYTHONPATH": str(self._root), "SYNCER_DATABASE_URL": self._url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def with_license(folder: Path) -> Path:
    """A copy of the tree that tracks `license`: what the manual's recipe says, and nothing else."""
    tree = folder / "tree"
    for name in ("syncer", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    replace(
        tree / "syncer/core/fields.py",
        "\n)\n\n\ndef digest",
        f"\n    {FIELD})\n\n\ndef digest",
    )
    replace(
        tree / "syncer/core/model.py",
        "    expires_at: datetime | None = None\n",
        "    expires_at: datetime | None = None\n    license: str | None = None\n",
    )
    replace(
        tree / "syncer/formats/serverless.toml",
        'huggingface_url = "huggingface_url"',
        'huggingface_url = "huggingface_url"\nlicense = "license"',
    )
    for dialect in ("sqlite", "postgresql"):
        view = tree / f"syncer/db/views/{dialect}/catalog.sql"
        replace(view, "m.expires_at\n", "m.expires_at, m.license\n")
        shutil.copy(view, tree / f"migrations/sql/0002_catalog_{dialect}.sql")
    (tree / "migrations/versions/0002_license.py").write_text(MIGRATION)
    return tree


def replace(file: Path, old: str, new: str) -> None:
    """Put `new` where `old` stands, once."""
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file} has changed: mend the test"
    file.write_text(text.replace(old, new), "utf-8")


def line(day: str, models: dict[str, tuple[str | None, int]]) -> str:
    """One recorded response of the seed's form."""
    rows = [{"model_name": name, "license": said, "price": price} for name, (said, price) in models.items()]
    body = json.dumps({"status": "success", "data": {"models": rows}})
    return json.dumps({"observed_at": f"{day}T00:00:00Z", "body": body}) + "\n"
