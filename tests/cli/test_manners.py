"""How the command line speaks: runs, groups, examples, nearest names, questions before what cannot be undone, pipes."""

import os
import pty
import shlex
import subprocess
import sys

import click
import pytest

from syncer import cli
from syncer.cli.app import App
from syncer.cli.service import crontab
from tests.cli.home import ROOT, Home
from tests.upstream import Reply, model

SELF_EXPLAINING = {"config", "source", "db", "schema", "alerts", "monitoring"}
"""Groups, and what has nothing to choose."""


@pytest.fixture
def runs(home: Home) -> Home:
    """A source with a changed, an unchanged and a failed run."""
    home.serve(model("acme/a", 1))
    home.syncer("sync")
    home.syncer("sync")
    home.upstream.reply(Reply(status=404))
    home.syncer("sync")
    return home


# -- runs --------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_the_newest_first(runs: Home) -> None:
    """`syncer runs` has a row for each attempt, with its number, filtered by outcome, source and count."""
    assert [(row["id"], row["outcome"]) for row in runs.syncer("runs", "--json").json] == [
        (3, "failed"),
        (2, "unchanged"),
        (1, "changed"),
    ]
    assert [row[0] for row in runs.syncer("runs", "--limit", "2").rows] == ["3", "2"]
    assert [row[0] for row in runs.syncer("runs", "--outcome", "changed").rows] == ["1"]
    assert runs.syncer("runs", "--outcome", "held").out == "there is no run of that outcome yet\n"
    assert runs.syncer("runs", "--source", "shpo").code == 2


def test_a_line_about_a_run_names_it(runs: Home) -> None:
    """What `syncer sync` says of a run ends with its number, if it failed too: `syncer revert` takes it."""
    assert runs.syncer("sync").err.endswith(" [run 4]\n")
    assert runs.syncer("sync", "--json").json[0]["run_id"] == 5
    runs.serve(model("acme/a", 2))
    assert runs.syncer("sync").out.splitlines()[0] == "shop: changed: 1 repriced (1 listed) [run 6]"
    assert runs.syncer("revert", "--yes", "6").out.startswith("shop: run 6 reverted by run 7: 1 change\n")


# -- the command line itself -------------------------------------------------------------------------------------------


def test_commands_stand_in_groups() -> None:
    """`syncer --help` lists every command once, under a title."""
    text = cli.cli.get_help(click.Context(cli.cli, info_name="syncer"))
    for title, names in cli.GROUPS.items():
        section = text.split(f"{title}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines() if line[2] != " "] == list(names)


def _commands(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    context = click.Context(group)
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[*path, name] = command
        if isinstance(command, click.Group):
            found |= _commands(command, *path, name)
    return found


@pytest.mark.parametrize(
    "words", [words for words in _commands(cli.cli) if words[-1] not in SELF_EXPLAINING], ids=" ".join
)
def test_each_help_has_an_example(words: tuple[str, ...]) -> None:
    """The help of a command that a person uses shows it used."""
    if words in {("db", "current"), ("db", "check")}:
        return  # they have no argument and no option
    text = str(_commands(cli.cli)[words].help)
    assert f"  syncer {' '.join(words)}" in text.split("Example")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("snyc",), "No such command 'snyc': did you mean 'sync'?"),
        (("db", "upgrad"), "No such command 'upgrad': did you mean 'upgrade'?"),
        (("status", "--database", "x.db"), "put it before the command: syncer --database ... status"),
        (("db", "verify", "--config", "x"), "put it before the command: syncer --config ... db verify"),
        (("prices", ""), "a model's name is not empty"),
        (("changes", "--model", " "), "a model's name is not empty"),
        (("prices", "caf\udce9"), "argument 2 ('caf\\udce9') is not UTF-8 text"),
        (("--database", "postgresql://me:hunter2@db/x", "status"), "a password on the command line"),
        (("changes", "--notices", "--model", "acme/a"), "leave --model, --type, --kind and --before out"),
    ],
)
def test_what_cannot_be_is_a_sentence(home: Home, arguments: tuple[str, ...], words: str) -> None:
    """A mistake in the command line exits 2 and says what to write instead, and never a password."""
    said = home.syncer(*arguments)
    assert (said.code, said.out) == (2, "")
    assert words in " ".join(said.err.split())
    assert "hunter2" not in said.err


def test_another_database(home: Home) -> None:
    """--database, a path or a URL, wins over the configuration, and over the environment."""
    home.serve(model("acme/a", 1))
    assert home.syncer("--database", "other.db", "sync").code == 0
    assert [row[1] for row in home.syncer("--database", f"sqlite:///{home.path / 'other.db'}", "models").rows] == [
        "acme/a"
    ]
    assert home.syncer("models").out == "no catalog has been observed yet: syncer sync\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(home: Home, shell: str) -> None:
    """`syncer completion SHELL` prints what that shell loads; then it completes our commands."""
    assert "_SYNCER_COMPLETE" in home.syncer("completion", shell).out
    asked = {
        "_SYNCER_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "syncer sta",
        "COMP_CWORD": "sta" if shell == "fish" else "1",
    }
    assert "status" in home.process(**asked).out


# -- what cannot be undone asks first ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("revert", "1"), ("alerts", "skip", "x"), ("db", "renew-feed")], ids=" ".join)
def test_a_yes_is_needed(runs: Home, command: tuple[str, ...]) -> None:
    """Without a terminal --yes is needed; in one the person is asked, and a no does nothing."""
    said = runs.syncer(*command)
    assert (said.code, said.out) == (2, "")
    assert "--yes" in said.err
    before = runs.sql("SELECT count(*) FROM runs"), runs.sql("SELECT * FROM feed")
    main, terminal = pty.openpty()
    pipes = {"stdin": terminal, "stderr": terminal, "stdout": subprocess.PIPE}
    with runs.started(*command, options=pipes) as child:
        os.write(main, b"n\n")
        assert child.wait(60) == 1
    os.close(terminal)
    os.close(main)
    assert before == (runs.sql("SELECT count(*) FROM runs"), runs.sql("SELECT * FROM feed"))


# -- pipes -------------------------------------------------------------------------------------------------------------


def test_a_closed_stdout_costs_nothing(home: Home) -> None:
    """`syncer sync >&-`: the work is done, its exit code is that of the work, and no file takes the place of stdout."""
    home.serve(model("acme/a", 1))
    command = f"exec {sys.executable} -m syncer sync >&-"
    done = subprocess.run(["sh", "-c", command], cwd=home.path, env=home.environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert home.sql("SELECT outcome FROM runs") == [("changed",)]


def test_export_to_a_dash_is_stdout(runs: Home) -> None:
    """`export -o -` writes to standard output, and no file of that name."""
    assert runs.syncer("export", "-o", "-").out == runs.syncer("export").out != ""
    assert not (runs.path / "-").exists()


def test_changes_with_notices(runs: Home) -> None:
    """--notices shows the whole feed, in each form: then its ids have no gaps."""
    assert [event["id"] for event in runs.syncer("changes", "--json").json] == ["1"]
    assert [(event["id"], event["type"]) for event in runs.syncer("changes", "--notices", "--json").json] == [
        ("1", "syncer.model.added"),
        ("2", "syncer.source.failed"),
    ]
    assert [row[0] for row in runs.syncer("changes", "--notices", "--after", "1").rows] == ["2"]


# -- empty answers -----------------------------------------------------------------------------------------------------


def test_an_empty_answer_says_why(home: Home) -> None:
    """Before the first observation nothing is known, which is not the same as nothing listed."""
    assert home.syncer("changes").out == "nothing has been observed yet: syncer sync\n"
    assert home.syncer("held").out == "nothing is held\n"
    assert home.syncer("status").out == "no source has been synced yet: syncer sync\n"
    home.day(model("acme/a", 1))
    said = home.syncer("models", "--at", "2025-10-01").out
    assert said == "not observed then: before the first observation, 2026-01-01 00:00Z\n"
    assert home.syncer("changes", "--until", "2025-10-01").out.startswith("not observed then")
    assert home.syncer("changes", "--kind", "removed").out == "no such change\n"


# -- cron --------------------------------------------------------------------------------------------------------------


def test_the_crontab_works_as_cron_runs_it(home: Home) -> None:
    """`syncer service --cron` has full paths: its line runs with no PATH and anywhere, and names its variables."""
    home.serve(model("acme/a", 1))
    text = home.syncer("service", "--cron").out
    assert "SHOP_KEY=..." in text
    line = text.splitlines()[-1].removeprefix("7 * * * * ").replace("\\%", "%").replace(" --quiet", "")
    environ = {"SHOP_KEY": home.environ["SHOP_KEY"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["/bin/sh", "-c", line], cwd="/", env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("shop: changed: 1 added")


def test_the_crontab_quotes(home: Home) -> None:
    """A directory with blanks and a percent sign is quoted for the shell, and for cron."""
    odd = home.path / "100 %"
    text = crontab(
        App(config=None, database=None, log_format="text", verbose=0).settings, python=odd / "py", directory=odd
    )
    words = shlex.split(text.splitlines()[-1].replace("\\%", "%"))
    assert words[5:9] == ["cd", str(odd), "&&", str(odd / "py")]
