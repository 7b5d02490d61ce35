"""`syncer alerts`: what a person sees, what each command does to a consumer, and how it ends."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from syncer.alerts import consumers
from syncer.db.engine import writing
from tests.alerts.receiver import Receiver
from tests.cli.home import KEY, Home
from tests.cli.test_import import prices, recording
from tests.faults.child import wait_until
from tests.upstream import Reply, model


def consumer(name: str = "team", **fields: Any) -> str:
    """An [[alerts]] table that appends to NAME.jsonl, unless it says otherwise."""
    table = {"file": f"{name}.jsonl"} if not {"url", "url_env", "command"} & set(fields) else {}
    return "\n".join(
        ["[[alerts]]", f'name = "{name}"', *(f"{k} = {json.dumps(v)}" for k, v in (table | fields).items())]
    )


def configure(home: Home, alerts: str = "") -> None:
    """These consumers, and a source that has no history yet: that of `shop` is of another year, and would be late."""
    home.configure({"name": "elsewhere", "url": home.upstream.url}, top=alerts)


@pytest.fixture
def shop(home: Home) -> Home:
    """A shop with the consumer `team`, a file, which has seen the baseline."""
    configure(home, consumer())
    home.day(model("A", 1), trust=False)
    assert home.syncer("alerts", "deliver") == (0, "team: nothing new\n", "")
    return home


def told(home: Home, name: str = "team") -> list[str]:
    """What a file consumer was told."""
    path = home.path / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [f"{event['data']['kind']} {event['subject']}" for event in map(json.loads, lines)]


def listed(home: Home, name: str = "team") -> dict[str, Any]:
    """Its row of `alerts list`."""
    (row,) = (row for row in home.syncer("alerts", "list", "--json").json if row["consumer"] == name)
    return row


# -- deliver -----------------------------------------------------------------------------------------------------------


def test_deliver_says_what_it_did(shop: Home) -> None:
    """A line a consumer; with --quiet nothing where nothing went wrong."""
    shop.day(model("A", 2), trust=False)
    assert shop.syncer("alerts", "deliver") == (0, "team: 1 event in 1 message\n", "")
    shop.day(model("A", 3), model("B", 1), trust=False)
    assert shop.syncer("alerts", "deliver", "--quiet") == (0, "", "")
    assert told(shop) == ["repriced A", "repriced A", "added B"]


def test_one_that_is_down_is_said_once_and_delays_nobody(shop: Home, receiver: Receiver) -> None:
    """Exit code 1 and a line on stderr for the attempt that failed; until the next one is due, only a plain line."""
    configure(shop, consumer() + "\n" + consumer("hook", url=receiver.url))
    shop.syncer("alerts", "deliver")
    receiver.reply(Reply(status=503, headers={"Retry-After": "600"}))
    shop.day(model("A", 2), trust=False)
    said = shop.syncer("alerts", "deliver")
    assert (said.code, said.out) == (1, "team: 1 event in 1 message\n")
    assert said.err.startswith("hook: the webhook of 'hook' answered with status 503")
    again = shop.syncer("alerts", "deliver")
    assert (again.code, again.err, len(receiver.requests)) == (0, "", 1)
    assert "hook: the next attempt is at " in again.out
    row = listed(shop, "hook")
    assert (row["state"], row["lag"], "503" in row["error"]) == ("active", 1, True)
    assert row["next_attempt_at"] > datetime.now(UTC).isoformat()


def test_twenty_that_hang_delay_no_healthy_one(shop: Home, receiver: Receiver) -> None:
    """However many consumers wait for an answer, the one behind them all is handed its events meanwhile."""
    hooks = [consumer(f"hook{number}", url=receiver.url) for number in range(20)]
    configure(shop, "\n".join([*hooks, consumer()]))
    shop.syncer("alerts", "deliver")
    shop.day(model("A", 2), trust=False)
    let_go = Event()
    receiver.reply(Reply(status=204, on_request=lambda: let_go.wait(30)))
    with shop.started("alerts", "deliver") as child:
        try:
            wait_until(lambda: told(shop) == ["repriced A"] and len(receiver.requests) == 20, "the healthy one")
            assert child.poll() is None
        finally:
            let_go.set()
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out.count("1 event in 1 message"), err) == (0, 21, "")


# -- as part of sync ---------------------------------------------------------------------------------------------------


@pytest.fixture
def selling(home: Home) -> Home:
    """A shop that is synced by the command, with the consumer `team`, a file; its baseline is no news."""
    home.configure(top=consumer())
    home.serve(model("A", 1))
    assert home.syncer("sync").code == 0
    return home


def test_a_sync_delivers_what_it_found(selling: Home) -> None:
    """`syncer sync` hands each consumer what is new, and says so; with --quiet only what went wrong is said."""
    selling.serve(model("A", 2))
    said = selling.syncer("sync")
    assert (said.code, said.out.splitlines()[-1]) == (0, "team: 1 event in 1 message")
    assert told(selling) == ["repriced A"]
    selling.serve(model("A", 3))
    assert "team" not in selling.syncer("sync", "--quiet").out
    assert told(selling) == ["repriced A", "repriced A"]
    assert "team" not in selling.syncer("sync").out, "there was nothing new"


def test_what_the_first_sync_with_a_consumer_finds_is_news_to_it(selling: Home) -> None:
    """A consumer that is configured between two syncs is told of what the second one finds."""
    selling.configure(top=consumer() + "\n" + consumer("late"))
    selling.serve(model("A", 2))
    selling.syncer("sync", "--no-deliver")
    assert told(selling) == []
    selling.syncer("sync")
    assert (told(selling), told(selling, "late")) == (["repriced A"], ["repriced A"])


def test_a_sync_that_delivers_exits_with_the_worst(selling: Home, receiver: Receiver) -> None:
    """A consumer that cannot be reached makes a sync exit with 1; --no-deliver and --dry-run try none."""
    selling.configure(top=consumer("hook", url=receiver.url))
    selling.syncer("sync")
    receiver.reply(Reply(status=500))
    selling.serve(model("A", 2))
    assert selling.syncer("sync", "--dry-run").code == 0
    assert selling.syncer("sync", "--no-deliver").code == 0
    assert receiver.requests == []
    said = selling.syncer("sync", "--json")
    assert (said.code, [line["outcome"] for line in said.json]) == (1, ["unchanged"])
    assert said.err.startswith("hook: the webhook of 'hook' answered with status 500")


def test_a_disabled_one_stays_a_failure(shop: Home, receiver: Receiver) -> None:
    """After 410 each round exits with 1 and says why; --quiet says it once; resume tells everything, in order."""
    configure(shop, consumer("hook", url=receiver.url))
    shop.syncer("alerts", "deliver")
    receiver.reply(Reply(status=410))
    shop.day(model("A", 2), trust=False)
    first = shop.syncer("alerts", "deliver", "--quiet")
    assert (first.code, "never wants to hear again" in first.err) == (1, True)
    assert shop.syncer("alerts", "deliver", "--quiet") == (1, "", "")
    assert "hook: disabled: the other side never wants" in shop.syncer("alerts", "deliver").out
    assert listed(shop, "hook")["state"] == "disabled"
    shop.day(model("A", 3), trust=False)
    receiver.reply(Reply(status=204))
    assert shop.syncer("alerts", "resume", "hook").out == "hook: active, goes on behind feed id 1\n"
    assert shop.syncer("alerts", "deliver").out == "hook: 2 events in 2 messages\n"


def test_exit_codes(shop: Home) -> None:
    """2 without a consumer, for a variable that is not set, and for a position beyond the feed; others are served."""
    configure(shop, consumer() + "\n" + consumer("hook", url_env="NO_SUCH_HOOK"))
    shop.day(model("A", 2), trust=False)
    said = shop.syncer("alerts", "deliver")
    assert (said.code, "NO_SUCH_HOOK" in said.err) == (2, True)
    assert told(shop) == ["repriced A"]
    configure(shop, consumer())
    with shop.engine() as engine, writing(engine) as connection:
        consumers.reposition(connection, "team", 99)
    assert shop.syncer("alerts", "deliver").code == 2
    assert "the feed ends at 2" in listed(shop)["error"]
    configure(shop)
    assert shop.syncer("alerts", "deliver").code == 2


def test_a_bug_in_one_is_raised_when_all_had_their_turn(shop: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no refusal keeps its traceback; the other consumer was served, nobody is held."""
    configure(shop, consumer("broken") + "\n" + consumer())
    shop.syncer("alerts", "deliver")
    shop.day(model("A", 2), trust=False)

    def break_one(message: Any) -> bytes:
        if message.consumer == "broken":
            raise ZeroDivisionError("a bug")
        return message.body[1:-1] + b"\n"  # type: ignore[no-any-return]

    monkeypatch.setattr("syncer.alerts.sinks.file.json_lines", break_one)
    with pytest.raises(ZeroDivisionError):
        shop.syncer("alerts", "deliver")
    assert told(shop) == ["repriced A"]
    assert shop.sql("SELECT DISTINCT lease_owner FROM consumers") == [(None,)]


def test_a_stale_source_is_told(shop: Home) -> None:
    """A source that nobody syncs says nothing by itself: delivery notices, and tells it once."""
    shop.configure(top=consumer())
    for _ in range(2):
        assert shop.syncer("alerts", "deliver").code == 0
    assert told(shop) == ["stale shop"]


def test_imports_are_silent(shop: Home, tmp_path: Path) -> None:
    """What an import brings is history and no news, unless the consumer starts at the beginning."""
    configure(shop, consumer() + "\n" + consumer("all", start="beginning"))
    file = recording(tmp_path / "history.jsonl", *prices("1", "2", "3"))
    assert shop.syncer("import", file, "--source", "past").code == 0
    shop.syncer("alerts", "deliver")
    assert told(shop) == []
    assert told(shop, "all") == ["added A", "added acme/a", "repriced acme/a", "repriced acme/a"]


def test_no_secret_is_shown_anywhere(shop: Home, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook's URL and secret are in no output, error or table, whatever the other side repeats (law 11)."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    monkeypatch.setenv("HOOK", receiver.url)
    monkeypatch.setenv("HOOK_SECRET", secret)
    receiver.reply(Reply(status=500, body=f"no {receiver.url} {secret}".encode()))
    configure(shop, consumer("hook", url_env="HOOK", secret_env="HOOK_SECRET"))
    shop.syncer("alerts", "deliver")
    shop.day(model("A", 2), trust=False)
    said = [
        shop.syncer(*words)
        for words in (
            ("-vv", "alerts", "deliver"),
            ("alerts", "deliver"),
            ("alerts", "list", "--json"),
            ("alerts", "test", "hook"),
            ("config",),
        )
    ]
    shown = "".join(one.out + one.err for one in said) + str(shop.sql("SELECT * FROM consumers"))
    assert "500" in shown
    assert "t0ken-in-the-path" not in shown
    assert secret.removeprefix("whsec_") not in shown


# -- list --------------------------------------------------------------------------------------------------------------


def test_list_shows_where_each_is(shop: Home) -> None:
    """Position, lag in changes and in time; one not delivered to yet is new, one that left the settings an orphan."""
    shop.day(model("A", 2), trust=False)
    shop.day(model("A", 3), trust=False)
    configure(shop, consumer() + "\n" + consumer("young"))
    row = listed(shop)
    assert (row["state"], row["position"], row["lag"]) == ("active", 1, 2)
    assert row["lag_seconds"] >= (datetime.now(UTC) - datetime(2026, 1, 2, tzinfo=UTC)) / timedelta(seconds=1) - 60
    assert listed(shop, "young") == dict.fromkeys(row, None) | {"consumer": "young", "state": "new"}
    shop.syncer("alerts", "deliver")
    row = listed(shop)
    assert (row["lag"], row["lag_seconds"], row["error"]) == (0, 0, None)
    configure(shop)
    shop.day(model("A", 4), trust=False)
    orphan = listed(shop)
    assert (orphan["state"], orphan["lag"], orphan["lag_seconds"]) == ("orphan", None, None)
    assert shop.syncer("alerts", "list").rows[0][:3] == ["team", "orphan", "3"]


# -- test --------------------------------------------------------------------------------------------------------------


def test_a_sample_is_sent_and_the_answer_said(shop: Home, receiver: Receiver) -> None:
    """The other side's answer is told, good or bad; the sample moves nothing and is marked."""
    configure(shop, consumer() + "\n" + consumer("hook", url=receiver.url))
    assert shop.syncer("alerts", "test", "hook") == (0, "hook: the webhook answered 2xx, so it took the sample\n", "")
    assert json.loads(receiver.request.body)["data"]["test"] is True
    receiver.reply(Reply(status=403, body=b"who are you"))
    refused = shop.syncer("alerts", "test", "hook")
    assert (refused.code, refused.out) == (1, "")
    assert "status 403" in refused.err
    assert "who are you" in refused.err
    assert "the sample stands at the end of the file" in shop.syncer("alerts", "test", "team").out
    assert told(shop) == ["repriced syncer/this-is-a-test"]
    assert listed(shop)["position"] == 1


def test_a_sample_to_a_command(shop: Home) -> None:
    """A command that reads it and exits with 0 took it; its other exit codes are told."""
    script = shop.path / "on-change"
    script.write_text("#!/bin/sh\ncat > seen\nexit 0\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    configure(shop, consumer("job", command=["./on-change"]))
    assert "the command read the sample and exited with 0" in shop.syncer("alerts", "test", "job").out
    assert "this-is-a-test" in (shop.path / "seen").read_text()
    script.write_text("#!/bin/sh\nexit 7\n")
    assert shop.syncer("alerts", "test", "job").code == 1


def test_a_command_is_started_with_the_variables_it_names(shop: Home) -> None:
    """Law 11: what `syncer alerts deliver` and `test` start finds the variables of its `env`, and no key."""
    script = shop.path / "on-change"
    script.write_text("#!/bin/sh\nenv > env\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    shop.configure(top=consumer("job", command=["./on-change"], env=["MINE"], start="beginning"))
    for words in (("deliver",), ("test", "job")):
        assert shop.process("alerts", *words, MINE="kept", OTHER="not").code == 0
        found = (shop.path / "env").read_text()
        assert "MINE=kept\n" in found
        assert not [word for word in ("OTHER", "SHOP_KEY", KEY) if word in found]
        (shop.path / "env").unlink()


# -- what a person does with one ---------------------------------------------------------------------------------------


def test_pause_and_resume(shop: Home) -> None:
    """A paused consumer is told nothing and says since when; resumed, it goes on where it stood."""
    assert shop.syncer("alerts", "pause", "team").out == "team: paused, behind feed id 1\n"
    shop.day(model("A", 2), trust=False)
    said = shop.syncer("alerts", "deliver")
    assert (said.code, said.out.startswith("team: paused: by a person, ")) == (0, True)
    assert listed(shop)["error"].startswith("by a person, ")
    assert shop.syncer("alerts", "resume", "team").code == 0
    shop.syncer("alerts", "deliver")
    assert (told(shop), listed(shop)["error"]) == (["repriced A"], None)


def test_replay_tells_again_with_the_same_ids(shop: Home) -> None:
    """What was seen since a time is told again, as the same events; notices count for the time, too."""
    shop.day(model("A", 2), trust=False)
    shop.day(model("A", 3), trust=False)
    shop.syncer("alerts", "deliver")
    said = shop.syncer("alerts", "replay", "team", "--since", "2026-01-02")
    assert said.out == "team: goes on behind feed id 1\n"
    shop.syncer("alerts", "deliver")
    lines = (shop.path / "team.jsonl").read_text().splitlines()
    assert lines[:2] == lines[2:]
    assert shop.syncer("alerts", "replay", "team", "--since", "now").out == "team: goes on behind feed id 3\n"


def test_replay_finds_a_notice(shop: Home) -> None:
    """A failure alone, with no change after it, is replayed."""
    shop.upstream.reply(Reply(status=404))
    shop.syncer("sync")
    shop.syncer("alerts", "deliver")
    shop.syncer("alerts", "replay", "team", "--since", "1h")
    shop.syncer("alerts", "deliver")
    assert told(shop) == ["failed elsewhere"] * 2


def test_skip_goes_to_the_end(shop: Home) -> None:
    """What was not told is not told any more; a paused consumer stays paused and the answer says so."""
    shop.day(model("A", 2), trust=False)
    shop.syncer("alerts", "pause", "team")
    said = shop.syncer("alerts", "skip", "--yes", "team").out
    assert said == "team: goes on behind feed id 2, the end of the feed, once it is resumed (it is paused)\n"
    shop.syncer("alerts", "resume", "team")
    shop.syncer("alerts", "deliver")
    assert told(shop) == []


def test_one_may_be_spoken_of_before_its_first_delivery(home: Home) -> None:
    """A configured consumer can be paused and replayed at once."""
    configure(home, consumer())
    home.day(model("A", 1), trust=False)
    home.day(model("A", 2), trust=False)
    assert home.syncer("alerts", "replay", "team", "--since", "2026-01-01").code == 0
    home.syncer("alerts", "deliver")
    assert told(home) == ["repriced A"]


@pytest.mark.parametrize("words", [("pause",), ("resume",), ("skip", "--yes"), ("test",), ("replay", "--since", "7d")])
def test_an_unknown_name_is_answered_with_the_nearest(shop: Home, words: tuple[str, ...]) -> None:
    """A slip of the pen costs a second try; exit code 2."""
    said = shop.syncer("alerts", words[0], "taem", *words[1:])
    assert (said.code, said.out) == (2, "")
    assert "did you mean 'team'?" in said.err
