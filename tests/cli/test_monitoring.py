"""`syncer monitoring` and `syncer status --check`: what watches from outside is told the truth."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncer.alerts import consumers
from syncer.db import engine as db
from syncer.settings import load
from syncer.web.server import serve
from tests.cli.home import ROOT, Home
from tests.upstream import Reply, Upstream, model

_NAME = re.compile(r"\b(?:syncer|process)_[a-z_]*[a-z]\b")
A = model("acme/large", 10)
HOOK = '[[alerts]]\nname = "hook"\nurl = "http://127.0.0.1:1/t0ken"'


@pytest.fixture
def exposed(home: Home) -> set[str]:
    """The names of all samples of a daemon that has looked once and has one consumer."""
    home.day(A)
    (home.path / "syncer.toml").write_text((home.path / "syncer.toml").read_text() + f"\n{HOOK}\n")
    settings = load({}, cwd=home.path)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with home.engine() as engine:
        with db.writing(engine) as connection:
            consumers.register(connection, "hook", position=0, now=at)
        with serve(engine, settings, "127.0.0.1:0", clock=lambda: at) as pages:
            text = httpx.get(f"{pages.url}/metrics").text
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


# -- for Prometheus and Grafana ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["grafana", "alerts"])
def test_each_metric_that_is_asked_for_is_exposed(home: Home, exposed: set[str], what: str) -> None:
    """The dashboard and the rules speak of no metric that a live /metrics has not."""
    said = home.syncer("monitoring", what)
    asked = set(_NAME.findall(said.out))
    assert said.code == 0
    assert len(asked) >= 7
    assert asked <= exposed


def test_the_manual_names_each_metric(exposed: set[str]) -> None:
    """The manual's table of metrics is exactly what a live /metrics exposes of ours."""
    text = (ROOT / "syncer" / "manual" / "operate.md").read_text("utf-8")
    assert set(re.findall(r"`(syncer_[a-z_]+)`", text)) == {name for name in exposed if name.startswith("syncer_")}


def test_the_dashboard_is_one_that_can_be_imported(home: Home) -> None:
    """Each panel has an id and a place of its own, queries, and the data source that one is asked for."""
    board = json.loads(home.syncer("monitoring", "grafana").out)
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        assert [query["expr"] for query in panel["targets"]]
        assert {query["datasource"]["uid"] for query in panel["targets"]} == {"${datasource}"}
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "source"}


def test_prometheus_loads_the_rules(home: Home, tmp_path: Path) -> None:
    """Prometheus's own checker finds nothing wrong with the rules."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here (the Debian package prometheus has it)")
    rules = tmp_path / "rules.yml"
    rules.write_text(home.syncer("monitoring", "alerts").out)
    done = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_fires_the_rules(home: Home, tmp_path: Path) -> None:
    """In a simulation late, held, failing and lagging fire when they should, and a digest's lag does not."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here (the Debian package prometheus has it)")
    (tmp_path / "rules.yml").write_text(home.syncer("monitoring", "alerts").out)
    series = {
        'syncer_source_late{source="a"}': "1",
        'syncer_source_late{source="b"}': "0",
        'syncer_held_findings{source="a"}': "2",
        'syncer_consumer_lag_seconds{consumer="slow"}': "7200",
        'syncer_consumer_digest_seconds{consumer="slow"}': "0",
        'syncer_consumer_lag_seconds{consumer="daily"}': "7200",
        'syncer_consumer_digest_seconds{consumer="daily"}': "86400",
        'syncer_consumer_lag_seconds{consumer="a person"}': "7200",
        'up{job="syncer"}': "0",
    }
    expected = [
        ("SyncerDown", {"job": "syncer"}),
        ("SyncerSourceLate", {"source": "a"}),
        ("SyncerHeld", {"source": "a"}),
        ("SyncerConsumerLagging", {"consumer": "slow"}),
        ("SyncerDatabaseDown", None),
    ]
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": f"{value}x200"} for name, value in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})',
                        "eval_time": "2h",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if labels else [],
                    }
                    for name, labels in expected
                ]
                + [
                    {
                        "expr": f'count(ALERTS{{alertname="{name}", {label}="{value}", alertstate="firing"}})',
                        "eval_time": "2h",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    }
                    for name, labels in expected
                    for label, value in (labels or {}).items()
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(tests))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- for Nagios --------------------------------------------------------------------------------------------------------


def look_now(home: Home) -> None:
    """An observation of the shipped command, by the real clock."""
    home.syncer("sync", "--quiet")


def test_all_well_is_one_line_and_zero(home: Home) -> None:
    """A source that was looked at just now is OK."""
    home.serve(A)
    look_now(home)
    said = home.syncer("status", "--check")
    assert (said.code, said.out) == (0, "OK: 1 source, the oldest observation 0 min ago\n")


def test_late_is_a_problem(home: Home) -> None:
    """A source whose last observation is long ago is late: 1."""
    home.day(A)
    said = home.syncer("status", "--check")
    assert said.code == 1
    assert re.fullmatch(r"PROBLEM: shop is late: it was last observed \d+ days ago\n", said.out)


def test_failed_is_a_problem_and_says_why(home: Home) -> None:
    """A failed last observation is 1 at once, with its reason, on one line, whatever upstream put into it (law 12)."""
    home.serve(A)
    look_now(home)
    home.upstream.reply(Reply(body=b'{"status": "error", "message": "closed\\nOK: all is well\\u001b[2J"}'))
    look_now(home)
    with home.engine() as engine, db.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE runs SET error = error || char(10) || 'OK: forged' WHERE outcome = 'failed'")
    said = home.syncer("status", "--check")
    assert said.code == 1
    assert said.out.startswith("PROBLEM: shop failed: ")
    assert "closed" in said.out
    assert len(said.out.splitlines()) == 1
    assert "\x1b" not in said.out


def test_held_is_three(home: Home) -> None:
    """Nothing wrong but something to settle is 3; with something wrong besides it is 1, and both are said."""
    home.serve(A, model("acme/small", 1))
    look_now(home)
    home.serve(A | {"price": 100000}, model("acme/small", 1))
    look_now(home)
    said = home.syncer("status", "--check")
    assert (said.code, said.out) == (3, "HELD (syncer held): shop: implausible_price\n")
    home.upstream.reply(Reply(status=404))
    look_now(home)
    said = home.syncer("status", "--check")
    assert said.code == 1
    assert said.out.startswith("PROBLEM: shop failed: ")
    assert said.out.endswith("; HELD (syncer held): shop: implausible_price\n")


def test_never_looked_at_is_a_problem(home: Home) -> None:
    """A configured source without any run is 1: silence is not health."""
    said = home.syncer("status", "--check")
    assert (said.code, said.out) == (1, "PROBLEM: shop was never observed (syncer sync)\n")


def test_a_source_that_is_not_configured_is_not_judged(home: Home, upstream: Upstream) -> None:
    """What was imported, or is configured no more, may be late without anybody being woken."""
    home.day(A)
    home.configure({"name": "other", "url": upstream.url})
    home.serve(A)
    look_now(home)
    assert home.syncer("status", "--check").code == 0


def test_a_disabled_consumer_is_a_problem(home: Home) -> None:
    """A consumer that was given up is 1, by name and without its address; one that was paused on purpose is not."""
    home.serve(A)
    look_now(home)
    config = home.path / "syncer.toml"
    config.write_text(f"{config.read_text()}\n{HOOK}\n")
    with home.engine() as engine, db.writing(engine) as connection:
        now = datetime.now(UTC)
        consumers.register(connection, "hook", position=1, now=now - timedelta(days=9), state=consumers.PAUSED)
    assert home.syncer("status", "--check").code == 0
    with home.engine() as engine, db.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE consumers SET state = 'disabled'")
    said = home.syncer("status", "--check")
    assert (said.code, said.out) == (1, "PROBLEM: consumer hook is disabled (syncer alerts list)\n")


def test_a_retired_source_wakes_nobody(home: Home) -> None:
    """A source that was retired is neither late nor failing, even if it is still configured."""
    home.day(A)
    home.upstream.reply(Reply(status=404))
    look_now(home)
    assert home.syncer("status", "--check").code == 1
    assert home.syncer("source", "retire", "shop").code == 0
    said = home.syncer("status", "--check")
    assert (said.code, said.out) == (0, "OK: no source to watch, each is retired\n")


def test_no_database_is_one_line_on_stdout(home: Home) -> None:
    """What keeps a check from looking is its line, on stdout where a monitor reads it, with the usual exit code."""
    (home.path / "syncer.db").unlink()
    said = home.syncer("status", "--check")
    assert (said.code, len(said.out.splitlines())) == (2, 1)
    assert said.out.startswith("PROBLEM: there is no syncer database")


def test_a_check_is_not_a_table(home: Home) -> None:
    """--check with --json is refused: it prints one line."""
    assert home.syncer("status", "--check", "--json").code == 2
