"""`syncer held`, `approve`, `reject` and `revert`: what a person decides holds, once, and is taken at their word."""

import re
from typing import Any

import pytest

from tests.cli.home import Home, on_a_terminal
from tests.upstream import Reply, catalog_body, model

NAMES = [f"acme/m{number}" for number in range(8)]


def catalog(factor: int = 1, names: list[str] = NAMES) -> list[dict[str, Any]]:
    """Eight models, at a multiple of their price."""
    return [model(name, factor * (1 + position)) for position, name in enumerate(names)]


def history(home: Home) -> list[tuple[Any, ...]]:
    """The changes after the first observation: kind, name, old price and price."""
    rows = home.sql("SELECT kind, name, old_price, price FROM changes WHERE changed_after IS NOT NULL ORDER BY id")
    return [(kind, name, None if old is None else float(old), float(price)) for kind, name, old, price in rows]


def check_feed(home: Home) -> None:
    """Law 8: whatever happened, the ids of the feed are contiguous."""
    ids = [row[0] for row in home.sql("SELECT id FROM feed_events ORDER BY id")]
    assert ids == list(range(1, len(ids) + 1))
    assert home.sql("SELECT last_id FROM feed") == [(len(ids),)]


def prices(home: Home) -> dict[str, float]:
    """The current catalog."""
    return {name: float(price) for name, price in home.sql("SELECT model, price FROM catalog")}


# -- held --------------------------------------------------------------------------------------------------------------


def test_held_lists_what_why_and_since_when(any_home: Home) -> None:
    """`syncer held` has a row for each finding, with --models one for each model and its withheld value."""
    home = any_home
    home.day(*catalog())
    home.day(*catalog(1000)[:6])
    (row,) = home.syncer("held", "--json").json
    assert row["kind"] == "unit_change"
    assert row["since"] == "2026-01-02T00:00:00Z"
    assert row["models"] == 6
    assert row["why"].startswith("the prices of 6 models look multiplied by 1000: acme/m0 1 -> 1000, ")
    assert row["settles_at"] == "2026-01-05T00:00:00Z"  # patience: 3d
    each = home.syncer("held", "--models", "--json", "--source", "shop").json
    assert [(one["model"], one["field"], one["believed"], one["withheld"], one["factor"]) for one in each] == [
        (name, "price", 1 + position, 1000 * (1 + position), 1000) for position, name in enumerate(NAMES[:6])
    ]
    narrow = on_a_terminal(home, "held", "--models", COLUMNS="52", NO_COLOR="1").splitlines()
    assert narrow[2].split()[-5:] == ["model", "field", "believed", "withheld", "factor"]
    assert max(map(len, narrow)) <= 52
    said = home.syncer("held").out
    assert "unit_change" in said
    assert f"syncer approve shop --finding {row['finding']}, or syncer reject" in said
    columns = "finding,source,kind,state,since,models,why,settles_at,settles,comment"
    assert home.syncer("held", "--csv").out.splitlines()[0] == columns


def test_a_withheld_absence(home: Home) -> None:
    """A withheld removal is a model that is believed listed, and that upstream does not list."""
    home.day(*catalog())
    home.day(*catalog()[:2])
    each = home.syncer("held", "--models", "--json").json
    assert [(one["model"], one["field"], one["believed"], one["withheld"]) for one in each] == [
        (name, "listed", True, False) for name in NAMES[2:]
    ]


def test_held_of_a_response_names_no_model(home: Home) -> None:
    """What is doubtful about a whole response is a finding without models."""
    many = catalog(names=[f"acme/m{number}" for number in range(20)])
    home.day(*many)
    home.day(*many, {"model_type": "Text"})
    (row,) = home.syncer("held", "--json").json
    assert (row["kind"], row["models"], row["settles_at"]) == ("nameless", 0, None)
    assert home.syncer("held", "--models", "--json").json == []


# -- approve -----------------------------------------------------------------------------------------------------------


def test_approve_is_a_ceiling(any_home: Home) -> None:
    """Approval applies at most what was shown: a value that moved on since is held again."""
    home = any_home
    home.begin_recently()
    home.day(*catalog())
    home.day(*catalog(1000))
    home.serve(*catalog(1000)[:7], model(NAMES[7], 9_999_999))
    said = home.syncer("approve", "shop")
    assert said.code == 3
    assert "7 repriced" in said.out
    assert prices(home) == {name: 1000.0 * (1 + n) for n, name in enumerate(NAMES[:7])} | {NAMES[7]: 8.0}
    assert home.syncer("held", "--json").json[0]["models"] == 1
    assert home.sql("SELECT kind FROM runs ORDER BY id DESC LIMIT 1") == [("approve",)]
    check_feed(home)


OLD = [f"old/{number}" for number in range(12)]


def held_twice(home: Home) -> dict[str, int]:
    """Twelve models gone and eight a thousand times dearer: the finding of each kind."""
    home.begin_recently()
    home.day(*catalog(names=[*NAMES, *OLD]))
    home.day(*catalog(1000))
    found = {row["kind"]: row["finding"] for row in home.syncer("held", "--json").json}
    assert set(found) == {"removals", "unit_change"}
    return found


@pytest.mark.parametrize(
    ("kind", "approved"),
    [("removals", {"removed"}), ("unit_change", {"repriced"}), (None, {"removed", "repriced"})],
)
def test_approve_of_one_finding(home: Home, kind: str | None, approved: set[str]) -> None:
    """--finding says yes to that finding only; without it the yes is to all."""
    found = held_twice(home)
    said = home.syncer("approve", "shop", *([f"--finding={found[kind]}"] if kind else []))
    assert {row[0] for row in history(home)} == approved
    assert said.code == (3 if kind else 0)


def test_approve_of_one_model_splits_a_finding(any_home: Home) -> None:
    """--model says yes to the models that match; the others stay held, and the comment is kept when all are settled."""
    home = any_home
    home.begin_recently()
    home.day(*catalog())
    home.day(*catalog(1000))
    said = home.syncer("approve", "shop", "--model", "acme/m[01]")
    assert (said.code, "2 repriced" in said.out) == (3, True)
    assert prices(home)["acme/m1"] == 2000.0
    assert prices(home)["acme/m2"] == 3.0
    assert home.syncer("held", "--json").json[0]["models"] == 6
    assert home.sql("SELECT state FROM findings") == [("open",)]
    assert home.syncer("approve", "shop", "--comment", "on their blog").code == 0
    assert home.sql("SELECT state, comment FROM findings") == [("approved", "on their blog")]
    assert prices(home)["acme/m2"] == 3000.0
    assert home.syncer("db", "verify").code == 0
    check_feed(home)


def test_approve_of_nothing(home: Home) -> None:
    """Where nothing (of that finding, of those models) is held, approve and reject say so, exit 2, and ask nobody."""
    home.day(*catalog())
    for command in ("approve", "reject"):
        said = home.syncer(command, "shop")
        assert said.code == 2
        assert "nothing like that is held for shop" in said.err
    home.day(*catalog(1000))
    asked = len(home.upstream.requests)
    for chosen in ("--finding=99", "--model=other/*"):
        assert home.syncer("approve", "shop", chosen).code == 2
        assert home.syncer("reject", "shop", chosen).code == 2
    assert len(home.upstream.requests) == asked


@pytest.mark.parametrize("command", [("approve", "shop"), ("reject", "shop"), ("revert", "--yes", "1")])
def test_a_decision_creates_no_database(home: Home, command: tuple[str, ...]) -> None:
    """Without a database there is nothing to decide: exit 2, a message that says what to do, and no file."""
    home.url = f"sqlite:///{home.path / 'none.db'}"
    home.configure()
    said = home.syncer(*command)
    assert said.code == 2
    assert "syncer sync" in said.err
    assert not (home.path / "none.db").exists()


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_a_decision_on_an_unknown_source(home: Home, command: str) -> None:
    """A source that does not exist is refused by its name."""
    home.day(*catalog())
    said = home.syncer(command, "shpo")
    assert said.code == 2
    assert "shpo" in said.err


# -- reject ------------------------------------------------------------------------------------------------------------


def test_reject_then_quiet_until_upstream_says_otherwise(any_home: Home) -> None:
    """A no keeps the known state without asking again, and lapses when upstream says something else."""
    home = any_home
    home.begin_recently()
    home.day(*catalog())
    home.day(*catalog(1000))
    assert home.syncer("reject", "shop").out.startswith("shop: 1 finding rejected")
    for _ in range(2):
        assert home.syncer("sync", "--quiet") == (0, "", "")
    assert prices(home) == {name: float(1 + n) for n, name in enumerate(NAMES)}
    assert home.syncer("held", "--json").out == ""
    home.serve(*catalog(2)[:3], *catalog()[3:])
    assert "3 repriced" in home.syncer("sync").out
    home.serve(*catalog(1000))
    assert home.syncer("sync").code == 3  # the same said again later is held anew
    check_feed(home)


def test_a_no_to_a_partial_response_ends_the_question_and_not_the_doubt(home: Home) -> None:
    """Nobody is asked again, and the exit code is 0; `status --check` goes on to say it while it lasts (law 13)."""
    home.begin_recently()
    home.day(*catalog())
    home.upstream.reply(Reply(body=catalog_body(list(catalog()), has_more=True)))
    assert home.syncer("sync", "--quiet").code == 3
    assert home.syncer("reject", "shop").code == 0
    assert home.syncer("sync", "--quiet") == (0, "", "")
    assert home.syncer("held", "--json").out == ""
    said = home.syncer("status", "--check")
    assert (said.code, "shows a part of its list only" in said.out) == (1, True)
    home.serve(*catalog())
    assert home.syncer("sync").code == home.syncer("status", "--check").code == 0


def test_a_rejection_is_listed_and_can_be_taken_back(any_home: Home) -> None:
    """`held --rejected` lists it with its comment; taken back, it is held again, and can be approved."""
    home = any_home
    home.begin_recently()
    home.day(*catalog())
    home.day(*catalog(1000))
    assert home.syncer("reject", "shop", "--comment", "cents").code == 0
    (row,) = home.syncer("held", "--rejected", "--json").json
    assert (row["kind"], row["models"], row["comment"]) == ("unit_change", 8, "cents")
    number = f"--finding={row['finding']}"
    assert home.syncer("sync").code == 0  # by these bytes, from now on
    assert home.syncer("reject", "shop", "--take-back").code == 2
    said = home.syncer("reject", "shop", "--take-back", number)
    assert (said.code, said.out) == (0, "shop: 1 rejection taken back\n")
    assert home.syncer("reject", "shop", "--take-back", number).code == 2
    assert home.syncer("held", "--rejected", "--json").out == ""
    assert home.syncer("sync").code == 3
    assert home.syncer("approve", "shop", number).code == 0
    assert prices(home)["acme/m0"] == 1000.0
    assert home.syncer("db", "verify").code == 0
    check_feed(home)


def test_reject_of_one_model(any_home: Home) -> None:
    """--model rejects the models that match; the others stay held, and a rejection can be approved by its id."""
    home = any_home
    home.begin_recently()
    home.day(*catalog())
    home.day(*catalog(1000))
    assert home.syncer("reject", "shop", "--model", "acme/m0").code == 0
    assert home.syncer("held", "--json").json[0]["models"] == 7
    assert home.syncer("sync").code == 3
    (row,) = home.syncer("held", "--rejected", "--json").json
    assert home.syncer("approve", "shop", f"--finding={row['finding']}").code == 3  # the others still wait
    assert (prices(home)["acme/m0"], prices(home)["acme/m1"]) == (1000.0, 2.0)
    assert home.syncer("db", "verify").code == 0
    check_feed(home)


# -- revert ------------------------------------------------------------------------------------------------------------


AT_ONCE: dict[str, Any] = {"removal_confirmations": 1, "removal_after": "0s"}


def prepared(home: Home, *days: list[dict[str, Any]]) -> int:
    """Live through these days believing everything at once; the last one's run."""
    home.configure(**AT_ONCE)
    for models in days:
        home.day(*models, trust=False)
    return int(home.sql("SELECT max(id) FROM runs")[0][0])


A, B, C = model("acme/a", 1), model("acme/b", 2), model("acme/c", 3)
DEARER = A | {"price": 5}
LONGER = A | {"context_length": 99}

REVERTS = {
    # the days before, the last of which is reverted; what was done, what undoes it, and what upstream says at last
    "added": ([[B, C], [A, B, C]], ("added", None, 1.0), ("removed", 1.0, 1.0), [A | {"price": 7}, B, C]),
    "removed": ([[A, B, C], [B, C]], ("removed", 1.0, 1.0), ("relisted", 1.0, 1.0), [A | {"price": 7}, B, C]),
    "relisted": ([[A, B, C], [B, C], [DEARER, B, C]], ("relisted", 1.0, 5.0), ("removed", 5.0, 5.0), [A, B, C]),
    "repriced": ([[A, B, C], [DEARER, B, C]], ("repriced", 1.0, 5.0), ("repriced", 5.0, 1.0), [A | {"price": 6}, B, C]),
    "updated": ([[A, B, C], [LONGER, B, C]], ("updated", 1.0, 1.0), ("updated", 1.0, 1.0), [A | {"price": 7}, B, C]),
}


@pytest.mark.parametrize("kind", REVERTS)
def test_revert_of_each_kind(any_home: Home, kind: str) -> None:
    """A revert appends what undoes each change and names it; the next syncs believe it not, until upstream moves."""
    home, (days, done, undone, otherwise) = any_home, REVERTS[kind]
    run = prepared(home, *days)
    said = home.syncer("revert", "--yes", str(run))
    assert (said.code, said.out) == (0, f"shop: run {run} reverted by run {run + 1}: 1 change\n")
    (kind_done, *moved), (kind_undone, *back) = done, undone
    assert history(home)[-2:] == [(kind_done, "acme/a", *moved), (kind_undone, "acme/a", *back)]
    assert home.sql("SELECT b.run_id FROM changes a JOIN changes b ON b.id = a.reverts_id") == [(run,)]
    for _ in range(2):
        assert home.syncer("sync", "--quiet") == (0, "", "")
    home.serve(*otherwise)
    assert "acme/a" in home.syncer("sync", "--quiet").out
    state = {row["model_name"]: float(row["price"]) for row in otherwise}
    assert prices(home) == state
    assert re.fullmatch(r"shop: unchanged \[run \d+\]\n", home.syncer("sync").out)  # nothing is pending any more
    check_feed(home)


def test_revert_leaves_alone_what_has_moved_since(any_home: Home) -> None:
    """Of a run whose changes were built upon, the others are taken back and those are named."""
    home = any_home
    run = prepared(home, [A, B, C], [DEARER, B | {"price": 9}, C])
    home.day(A | {"price": 6}, B | {"price": 9}, C, trust=False)
    said = home.syncer("revert", "--yes", str(run))
    assert said.code == 0
    assert "1 change\n" in said.out
    assert "not reverted, it has changed since: acme/a" in said.out
    assert prices(home) == {"acme/a": 6.0, "acme/b": 2.0, "acme/c": 3.0}
    check_feed(home)


def test_revert_of_a_revert(any_home: Home) -> None:
    """A revert can be taken back like any run: the state is as before, and nothing stays pending."""
    home = any_home
    run = prepared(home, [A, B, C], [DEARER, B, C])
    assert home.syncer("revert", "--yes", str(run)).code == 0
    assert home.syncer("revert", "--yes", str(run + 1)).code == 0
    assert prices(home)["acme/a"] == 5.0
    assert home.syncer("sync").code == 0
    assert home.syncer("sync", "--json").json[0]["http_status"] == 304
    home.serve(A, B, C)
    assert "5 -> 1" in home.syncer("sync").out
    check_feed(home)


def test_a_relisting_survives_the_revert_of_its_revert(any_home: Home) -> None:
    """So can the revert of a removal."""
    home = any_home
    run = prepared(home, [A, B, C], [B, C])
    home.syncer("revert", "--yes", str(run))
    home.syncer("revert", "--yes", str(run + 1))
    assert set(prices(home)) == {"acme/b", "acme/c"}
    assert home.syncer("sync").code == 0
    assert home.syncer("sync", "--json").json[0]["http_status"] == 304
    check_feed(home)


@pytest.mark.parametrize("run", ["99", "-1", "0"])
def test_revert_of_an_unknown_run(home: Home, run: str) -> None:
    """A run that never was is refused, exit 2, and leaves no run."""
    home.day(*catalog())
    said = home.syncer("revert", "--yes", "--", run)
    assert said.code == 2
    assert f"no run {run}" in said.err
    assert home.sql("SELECT count(*) FROM runs") == [(1,)]


def test_revert_of_a_run_without_changes(home: Home) -> None:
    """A run that changed nothing, and one on which everything stands, cannot be reverted: exit 2, why, a failed run."""
    home.day(*catalog())
    home.day(*catalog())
    said = home.syncer("revert", "--yes", "2")
    assert said.code == 2
    assert "it changed nothing" in said.err
    assert home.sql("SELECT kind, outcome FROM runs WHERE id = 3") == [("revert", "failed")]
    assert home.sql("SELECT lease_owner FROM sources") == [(None,)]
    home.day(*catalog(2), trust=False)
    said = home.syncer("revert", "--yes", "1")
    assert said.code == 2
    assert "later changes stand on it" in said.err


def test_revert_respects_the_lease(home: Home) -> None:
    """Law 7: while another syncer has the source, revert and approve exit 75 and change nothing."""
    home.day(*catalog())
    home.day(*catalog(1000))
    home.take("shop")
    for command in (("revert", "--yes", "1"), ("approve", "shop")):
        said = home.syncer(*command)
        assert said.code == 75
        assert "other:1" in said.err
    assert history(home) == []
