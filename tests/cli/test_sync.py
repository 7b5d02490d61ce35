"""`syncer sync`: exit codes, what is printed and when, and that no source keeps another from its turn."""

import gzip
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer import settings
from syncer.cli.syncing import print_outcome
from syncer.errors import SettingsError
from syncer.service import Syncer, SyncOutcome, raise_bugs
from tests.cli.home import FIRST_DAY, Home, body_reply, serving
from tests.upstream import Reply, Upstream, catalog_body, model

REPORT_KEYS = {
    "source",
    "run_id",
    "kind",
    "outcome",
    "observed_at",
    "http_status",
    "listed",
    "added",
    "removed",
    "relisted",
    "repriced",
    "updated",
    "reread",
    "rejected",
    "withheld",
    "missing",
    "error",
    "notices",
    "changes",
}
EVENT_KEYS = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}


def mistaken_unit() -> list[dict[str, Any]]:
    """Six models at a thousand times their price."""
    return [model(f"acme/m{number}", 1000 + 1000 * number) for number in range(6)]


def catalog() -> list[dict[str, Any]]:
    """The same six at their right price."""
    return [model(f"acme/m{number}", 1 + number) for number in range(6)]


def held_home(home: Home) -> Home:
    """A source whose next sync is held."""
    home.day(*catalog())
    home.serve(*mistaken_unit())
    return home


@pytest.fixture
def another() -> Any:
    """A second provider."""
    with Upstream() as server:
        yield server


# -- exit codes --------------------------------------------------------------------------------------------------------


def test_exit_0_and_each_change_in_a_line(home: Home) -> None:
    """A good sync exits 0 and prints a summary and each change; without news the summary alone."""
    home.serve(*catalog())
    first, second = home.syncer("sync"), home.syncer("sync")
    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith("shop: changed: 6 added (6 listed) [run 1]\n  + added     acme/m0  1\n")
    assert second.out == "shop: unchanged [run 2]\n"
    assert first.err == second.err == ""


def test_exit_1_when_a_source_fails(home: Home) -> None:
    """A source that cannot be read exits 1 and says why on stderr, nothing on stdout."""
    home.upstream.reply(Reply(status=404))
    said = home.syncer("sync")
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("shop: failed: ")
    assert "404" in said.err


@pytest.mark.parametrize("arguments", [("sync", "--source", "shpo"), ("sync", "--no-such"), ("snyc",), ("sync", "x")])
def test_exit_2_for_usage(home: Home, arguments: tuple[str, ...]) -> None:
    """A wrong option, command or source name exits 2, and no request is made."""
    assert home.syncer(*arguments).code == 2
    assert home.upstream.requests == []


def test_an_unknown_source_is_refused_with_the_nearest_name(home: Home) -> None:
    """--source of a name that is not configured says which one was probably meant."""
    assert "'shop'" in home.syncer("sync", "--source", "shpo").err


def test_exit_2_for_a_missing_key_which_leaves_a_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source without its key is a fault of the configuration, and is visible as a failed run (law 9)."""
    monkeypatch.delenv("SHOP_KEY")
    said = home.syncer("sync")
    assert said.code == 2
    assert "SHOP_KEY" in said.err
    assert [row[0] for row in home.sql("SELECT outcome FROM runs")] == ["failed"]
    assert home.syncer("sync", "--quiet").err == ""
    assert home.upstream.requests == []


def test_exit_3_when_held(home: Home) -> None:
    """Something that waits for a person exits 3 and says what, and how to look at it."""
    said = held_home(home).syncer("sync")
    assert said.code == 3
    prices = ", ".join(f"acme/m{number} {1 + number} -> {1 + number}000" for number in range(6))
    assert said.out == (
        "shop: held: 6 withheld (6 listed) [run 2]\n"
        f"  held: the prices of 6 models look multiplied by 1000: {prices} (syncer held)\n"
    )


def test_exit_75_when_busy(home: Home) -> None:
    """A source that another syncer has exits 75, says who has it, and leaves no run."""
    home.take("shop")
    said = home.syncer("sync")
    assert said.code == 75
    assert "busy" in said.err
    assert "other:1" in said.err
    assert home.syncer("sync", "--quiet") == (75, "", "")
    assert home.sql("SELECT outcome FROM runs") == [("running",)]
    assert home.upstream.requests == []


def test_exit_code_is_the_worst_of_all(home: Home, another: Upstream) -> None:
    """1 goes before 2 before 3 before 75 before 0, and every source has had its turn."""
    held_home(home)
    good, bad = Upstream().serve(catalog()), serving(another, 404)
    with good:
        sources = {
            0: {"name": "good", "url": good.url},
            1: bad,
            2: {"name": "nokey", "url": good.url, "api_key_env": "NO_SUCH_KEY"},
            3: {"name": "shop", "url": home.upstream.url},
            75: {"name": "taken", "url": good.url},
        }
        home.configure(*sources.values())
        home.take("taken")
        order = [1, 2, 3, 75, 0]
        for position, worst in enumerate(order):
            names = [str(sources[code]["name"]) for code in order[position:]]
            said = home.syncer("sync", "--json", *(f"--source={name}" for name in names))
            assert said.code == worst
            assert [report["source"] for report in said.json] == names


# -- one source never keeps the others from their turn -----------------------------------------------------------------


def test_a_hanging_source_keeps_nobody_waiting(home: Home, another: Upstream) -> None:
    """One source that hangs until its deadline and one that fails: the others are synced, in their order."""
    home.serve(*catalog())
    hanging = Upstream().reply(Reply(hang=True))
    with hanging:
        home.configure(
            {"name": "hangs", "url": hanging.url, "deadline": "1s"},
            serving(another, 404),
            *({"name": f"good{number}", "url": home.upstream.url} for number in range(9)),
        )
        said = home.syncer("sync", "--json")
    assert said.code == 1
    assert [report["outcome"] for report in said.json] == ["failed", "failed", *["changed"] * 9]
    assert "deadline of 1 s" in said.json[0]["error"]
    ids = {int(change["id"]) for report in said.json for change in report["changes"]}
    assert len(ids) == 54
    # law 8, with nine writers at once: what is missing in between says that the two others failed
    feed = dict(home.sql("SELECT id, kind FROM feed_events"))
    assert sorted(feed) == list(range(1, 57))
    assert [feed[item] for item in sorted(feed.keys() - ids)] == ["failed", "failed"]


def test_a_bug_keeps_its_traceback_and_the_others_their_turn(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is none of ours escapes with its traceback, after all the others were synced and printed."""
    from syncer.core import parse

    right = parse.snapshot

    def wrong(bodies: Any, *rest: Any, **more: Any) -> Any:
        if b"buggy" in b"".join(map(bytes, bodies)):
            raise TypeError("a bug of ours")
        return right(bodies, *rest, **more)

    monkeypatch.setattr(parse, "snapshot", wrong)
    buggy = Upstream().serve([model("buggy")])
    home.serve(*catalog())
    with buggy:
        home.configure(
            {"name": "buggy", "url": buggy.url}, *({"name": f"g{n}", "url": home.upstream.url} for n in range(9))
        )
        with pytest.raises(TypeError, match="a bug of ours") as caught:
            home.syncer("sync")
    assert "wrong" in [frame.name for frame in caught.traceback]
    outcomes = dict(home.sql("SELECT s.name, r.outcome FROM runs r JOIN sources s ON s.id = r.source_id"))
    assert outcomes == {"buggy": "failed"} | {f"g{number}": "changed" for number in range(9)}


def test_several_bugs_escape_together() -> None:
    """Of all that went wrong with several sources, the bugs are raised, in one group; what a person can mend is not."""
    errors = [TypeError("one"), None, SettingsError("no key"), KeyError("two")]
    raise_bugs([SyncOutcome("a"), SyncOutcome("b", error=SettingsError("no key"))])
    with pytest.raises(ExceptionGroup, match="bugs in syncer") as caught:
        raise_bugs([SyncOutcome("a", error=error) for error in errors])
    assert [type(bug) for bug in caught.value.exceptions] == [TypeError, KeyError]


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_a_long_list_of_changes_is_cut_and_the_feed_goes_on(home: Home) -> None:
    """A first sync lists a hundred changes and names the command that shows the rest; --json has them all."""
    home.serve(*(model(f"acme/m{number:03}", 1) for number in range(130)))
    said = home.syncer("sync").out.splitlines()
    assert (len(said), said[100].split()[2]) == (102, "acme/m099")
    assert said[101] == "  ... and 30 more: syncer changes --source shop --after 100"
    rest = home.syncer(*said[101].split("syncer ")[1].split()).out
    assert ("acme/m099 " in rest, "acme/m100 " in rest, "acme/m129 " in rest) == (False, True, True)
    home.serve(*(model(f"acme/m{number:03}", 1, context_length=9) for number in range(130)))
    assert home.syncer("sync", "--dry-run").out.splitlines()[101] == "  ... and 30 more: --json"
    assert len(json.loads(home.syncer("sync", "--json").out)["changes"]) == 130


def test_json_is_one_report_a_source_with_cloudevents(home: Home) -> None:
    """--json prints one object a source: the columns of `runs`, and its changes as CloudEvents with the feed's ids."""
    home.serve(model("acme/a", Decimal("0.10")), model("acme/b", None))
    said = home.syncer("sync", "--json")
    (report,) = said.json
    assert set(report) == REPORT_KEYS
    assert (report["source"], report["outcome"], report["added"], report["listed"]) == ("shop", "changed", 2, 2)
    assert report["observed_at"].endswith("Z")
    assert [set(event) for event in report["changes"]] == [EVENT_KEYS] * 2
    assert [(event["id"], event["subject"]) for event in report["changes"]] == [("1", "acme/a"), ("2", "acme/b")]
    assert '"price":0.1,' in said.out
    assert report["changes"][1]["data"]["price"] is None
    assert report["changes"] == home.syncer("changes", "--json").json


def test_json_of_a_failure(home: Home) -> None:
    """A failed source has the same keys, with its error and the HTTP status, on stdout too."""
    home.upstream.reply(Reply(status=404))
    (report,) = home.syncer("sync", "--json").json
    assert set(report) == REPORT_KEYS
    assert (report["outcome"], report["http_status"], report["run_id"]) == ("failed", 404, 1)
    assert "404" in report["error"]


def test_a_missing_model_is_counted(home: Home) -> None:
    """A model that is gone but not yet believed removed is in the summary, and no change."""
    home.day(*catalog())
    home.serve(*catalog()[1:])
    assert home.syncer("sync").out == "shop: unchanged: 1 missing, unconfirmed (5 listed) [run 2]\n"
    assert home.syncer("sync", "--json").json[0]["missing"] == 1


def test_withheld_removals_are_not_counted_twice(home: Home) -> None:
    """What is withheld is not also unconfirmed."""
    home.day(*catalog())
    home.serve(*catalog()[4:])
    assert home.syncer("sync").out.startswith("shop: held: 4 withheld (2 listed) [run 2]\n")


def test_quiet_prints_changes_and_new_problems_only(home: Home) -> None:
    """--quiet says nothing of what is not new: the same catalog, a failure of the same kind, what was held before."""
    home.serve(*catalog())
    assert "6 added" in home.syncer("sync", "-q").out
    assert home.syncer("sync", "-q") == (0, "", "")
    home.upstream.reply(Reply(status=404))
    first, second = home.syncer("sync", "-q"), home.syncer("sync", "-q")
    assert "404" in first.err
    assert second == (1, "", "")
    home.upstream.reply(Reply(status=401))
    assert "401" in home.syncer("sync", "-q").err  # another problem is a new one
    home.serve(*mistaken_unit())
    assert "multiplied by 1000" in home.syncer("sync", "--quiet").out
    assert home.syncer("sync", "--quiet") == (3, "", "")
    assert home.syncer("sync", "--quiet", "--json") == (3, "", "")
    home.serve(*catalog())
    over = home.syncer("sync", "--quiet")
    assert (over.code, over.out.split(" (")[0], over.err) == (0, "shop: settled: unit_change withdrawn", "")
    assert home.syncer("sync", "--quiet") == (0, "", "")


def polled(home: Home, hour: int) -> tuple[str, str]:
    """What a crontab's `syncer sync --quiet` mails at this hour of the story, from stdout and from stderr."""
    out, err = io.StringIO(), io.StringIO()
    at = FIRST_DAY + timedelta(hours=hour)
    with Syncer(settings.load({}, cwd=home.path), environ=home.environ, clock=lambda: at) as one:
        (outcome,) = one.sync(check=False)
        with redirect_stdout(out), redirect_stderr(err):
            print_outcome(outcome, quiet=True)
    return out.getvalue(), err.getvalue()


def test_a_day_of_failures_is_two_lines(home: Home) -> None:
    """Of 24 failed polls the first is mailed, and then that the source is back, and after how long."""
    home.configure(trust_date=False)
    home.serve(*catalog())
    assert "6 added" in polled(home, 0)[0]
    home.upstream.reply(Reply(status=404))
    mails = [polled(home, hour) for hour in range(1, 25)]
    assert mails[0][1].startswith("shop: failed: ")
    assert mails[1:] == [("", "")] * 23
    home.serve(*catalog())
    assert polled(home, 25) == ("shop: is back after 1 d [run 26]\n", "")
    assert polled(home, 26) == ("", "")


def test_two_failures_that_take_turns_are_each_said_once(home: Home) -> None:
    """An outage that fails in two ways by turns is two lines, however long it lasts."""
    home.configure(trust_date=False)
    home.serve(*catalog())
    polled(home, 0)
    said = []
    for hour in range(1, 9):
        home.upstream.reply(Reply(status=404 if hour % 2 else 401))
        said.append(polled(home, hour)[1])
    assert [bool(mail) for mail in said] == [True, True] + [False] * 6


def test_quiet_says_nothing_of_a_retry_that_helped(home: Home) -> None:
    """A request that had to be repeated is no news under --quiet; without it the log says so on stderr."""
    home.serve(*catalog())
    home.syncer("sync")
    good = body_reply(catalog_body(catalog()))
    home.upstream.reply(Reply(status=503), good)
    assert home.syncer("sync", "--quiet") == (0, "", "")
    home.upstream.reply(Reply(status=503), good)
    assert "attempt 1 of" in home.syncer("sync").err


def test_quiet_says_when_rows_cannot_be_read_and_when_they_can(home: Home) -> None:
    """A price that cannot be read is one line, and so is that it can be read again, which takes two observations."""
    many = [model(f"acme/m{number}", 1 + number) for number in range(12)]
    home.serve(*many)
    home.syncer("sync")
    home.serve(*many[1:], model("acme/m0", "cheap"))
    assert "unreadable: cannot be read (1 model: acme/m0)" in home.syncer("sync", "-q").out
    assert home.syncer("sync", "-q") == (0, "", "")
    home.serve(*many)
    said = [home.syncer("sync", "-q").out for _ in range(3)]
    assert [bool(out) for out in said] == [False, True, False]
    assert "readable: can be read again (1 model: acme/m0)" in said[1]


def test_quiet_still_tells_of_a_change_beside_what_is_held(home: Home) -> None:
    """While one thing is held, a change of another model is printed, without repeating what is held."""
    held_home(home).syncer("sync", "-q")
    home.serve(*mistaken_unit(), model("acme/new", 3))
    said = home.syncer("sync", "-q")
    assert "+ added     acme/new  3" in said.out
    assert "multiplied" not in said.out


# -- --dry-run ---------------------------------------------------------------------------------------------------------


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dry_run_creates_nothing(home: Home) -> None:
    """A dry run on a database that does not exist says what the first sync would do, and creates no file."""
    home.url = f"sqlite:///{home.path / 'none.db'}"
    home.configure()
    home.serve(*catalog())
    before = everything(home.path)
    said = home.syncer("sync", "--dry-run", "--save-bodies", str(home.path / "bodies"))
    assert said.code == 0
    assert said.out.startswith("shop: would be changed: 6 added (6 listed)\n  + added     acme/m0  1\n")
    assert everything(home.path) == before


def test_dry_run_says_what_the_real_run_then_does(home: Home) -> None:
    """A dry run writes nothing, not even a run, and its changes are those of the sync that follows."""
    home.day(*catalog())
    home.serve(*catalog()[:5], model("acme/m5", 7), model("acme/new", 3))
    before = home.sql("SELECT * FROM runs"), home.sql("SELECT * FROM sources"), home.sql("SELECT * FROM models")
    dry = home.syncer("sync", "--dry-run", "--json")
    after = home.sql("SELECT * FROM runs"), home.sql("SELECT * FROM sources"), home.sql("SELECT * FROM models")
    assert before == after
    real = home.syncer("sync", "--json")
    assert dry.code == real.code == 0
    assert "id" not in dry.json[0]["changes"][0]  # no feed has given it one
    assert [undated(change) for change in dry.json[0]["changes"]] == [
        undated(change) for change in real.json[0]["changes"]
    ]
    counts = ("outcome", "listed", "added", "repriced", "withheld", "rejected", "missing")
    assert [dry.json[0][name] for name in counts] == [real.json[0][name] for name in counts]


def undated(event: dict[str, Any]) -> dict[str, Any]:
    """The data of an event without what only a run of its own can give."""
    return {
        name: value for name, value in event["data"].items() if name not in {"run_id", "observed_at", "effective_at"}
    }


def test_dry_run_of_what_would_be_held(home: Home) -> None:
    """A dry run that would be held exits 3 and says why; one that fails exits 1 and leaves no run."""
    said = held_home(home).syncer("sync", "--dry-run")
    assert said.code == 3
    assert "would be held: 6 withheld" in said.out
    home.upstream.reply(Reply(status=404))
    assert home.syncer("sync", "--dry-run").code == 1
    assert home.sql("SELECT count(*) FROM runs") == [(1,)]
    assert home.sql("SELECT count(*) FROM findings") == [(0,)]


# -- --save-bodies -----------------------------------------------------------------------------------------------------


def kept(folder: Path) -> list[dict[str, str]]:
    """The lines of the only file in a directory of bodies."""
    (path,) = folder.iterdir()
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def test_bodies_are_kept_as_evidence(home: Home) -> None:
    """--save-bodies keeps each body that had to be read, byte for byte, one line each in a file a month and source."""
    good, broken = catalog_body(catalog()), b'{"data": {"models": [\xff\xfe\xed\xa0\x80'
    folder = home.path / "deep" / "bodies"
    codes = []
    for body in (good, good, broken, good):
        home.upstream.reply(body_reply(body))
        codes.append(home.syncer("sync", "--save-bodies", str(folder)).code)
    assert codes == [0, 0, 1, 0]
    lines = kept(folder)
    assert [line["body"].encode("utf-8", "surrogateescape") for line in lines] == [good, broken]
    runs = home.sql("SELECT observed_at FROM runs WHERE outcome = 'changed'")
    at = lines[0]["observed_at"]
    assert at.replace("T", " ") == f"{runs[0][0]}Z"
    assert [path.name for path in folder.iterdir()] == [f"shop-{at[:7]}.jsonl.gz"]


def test_bodies_are_kept_by_setting(home: Home) -> None:
    """The setting save_bodies does the same, relative to the configuration file, for approve as well."""
    home.configure(top='save_bodies = "evidence"')
    held_home(home).syncer("sync")
    assert home.syncer("approve", "shop").code == 0
    assert len(kept(home.path / "evidence")) == 2


def test_an_unusable_directory_of_bodies_is_refused(home: Home) -> None:
    """A directory that cannot be made is a fault of the configuration: exit 2, the path named, a failed run."""
    (home.path / "file").write_text("")
    home.configure(top='save_bodies = "file/below"')
    home.serve(*catalog())
    said = home.syncer("sync")
    assert said.code == 2
    assert str(home.path / "file" / "below") in said.err
    assert home.sql("SELECT outcome FROM runs") == [("failed",)]
    assert home.syncer("sync", "--save-bodies", "file").code == 2
