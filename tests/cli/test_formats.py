"""`syncer formats` and `syncer try`: how a catalog is written, what a format makes of one, and a built-in source."""

import json
from typing import Any

import pytest

from syncer.core import formats
from syncer.settings import format_of, load
from tests.cli.home import Home
from tests.upstream import Reply, Upstream

OPENROUTER = [
    {
        "id": f"acme/m{number}",
        "name": f"Acme {number}",
        "context_length": 32768,
        "pricing": {"prompt": f"0.00000{number + 1}", "completion": f"0.0000{number + 1}", "colour": "0"},
    }
    for number in range(3)
]


def serve(upstream: Upstream, document: Any) -> None:
    """Answer with this document from now on."""
    upstream.reply(Reply(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"}))


# -- formats -----------------------------------------------------------------------------------------------------------


def test_formats_lists_the_built_in_ones_and_those_of_the_configuration(home: Home) -> None:
    """`syncer formats` has a row for each: its name, the URL that it brings, its headline and its components."""
    home.configure()
    with (home.path / "syncer.toml").open("a") as file:
        file.write('\n[formats.acme]\nextends = "openai"\n')
    rows = {row["format"]: row for row in home.syncer("formats", "--json").json}
    assert set(rows) == {"acme", *formats.names()}
    assert rows["openrouter"]["url"].startswith("https://openrouter.ai/api/v1/models")
    assert (rows["openrouter"]["headline"], rows["serverless"]["headline"]) == ("input", "price")
    assert "cache_read" in rows["openrouter"]["prices"]
    assert "openrouter" in home.syncer("formats").out


@pytest.mark.parametrize("name", formats.names())
def test_formats_show_prints_what_can_be_configured(home: Home, name: str) -> None:
    """`formats show NAME` prints a built-in format as a table that syncer.toml takes, and that reads the same."""
    said = home.syncer("formats", "show", name)
    assert (said.code, said.err) == (0, "")
    text = said.out.replace(f'[formats."{name}"', "[formats.mine").replace(f"[formats.{name}", "[formats.mine")
    file = home.path / "other.toml"
    file.write_text(f'{text}\n[[sources]]\nname = "x"\nurl = "https://x.example"\nformat = "mine"\napi_key_env = "K"\n')
    settings = load({}, cwd=home.path, config=file)
    assert format_of(settings.sources[0]).parser == formats.builtin(name).parser


def test_formats_show_of_an_unknown_name(home: Home) -> None:
    """A format that does not exist is refused with the nearest name, exit 2."""
    said = home.syncer("formats", "show", "openruoter")
    assert said.code == 2
    assert "'openrouter'" in said.err


# -- try ---------------------------------------------------------------------------------------------------------------


def test_try_shows_how_a_catalog_is_read_and_opens_no_database(home: Home) -> None:
    """It shows the first models with their prices per million, and what nothing reads; and creates nothing."""
    (home.path / "syncer.db").unlink()
    serve(home.upstream, {"data": OPENROUTER})
    said = home.syncer("try", home.upstream.url, "--format", "openrouter", "--models", "2")
    assert (said.code, said.err) == (0, "")
    assert "acme/m0" in said.out
    assert "acme/m2" not in said.out
    assert "3 models listed, 0 rows rejected; format openrouter" in said.out
    assert "prices in USD: input per 1000000 token" in said.out
    assert "not read: pricing.colour" in said.out
    assert "warning: no element has" in said.out
    assert sorted(path.name for path in home.path.iterdir()) == ["syncer.toml"]


def test_try_for_a_program(home: Home) -> None:
    """--json is all of it as one object."""
    serve(home.upstream, {"data": OPENROUTER})
    (said,) = home.syncer("try", home.upstream.url, "--format", "openrouter", "--json").json
    assert (said["format"], said["listed"], said["currency"], said["error"]) == ("openrouter", 3, "USD", None)
    assert [one["model"] for one in said["models"]] == ["acme/m0", "acme/m1", "acme/m2"]
    assert said["models"][0]["prices"]["input"] == 1
    assert said["models"][0]["prices"]["output"] == 10
    assert "pricing.colour" in said["unused"]


def test_try_says_that_a_format_does_not_fit(home: Home) -> None:
    """A catalog of which no element has the name, or any price, is told as an error that names the paths."""
    serve(home.upstream, {"data": [{"id": f"m{number}", "cost": 1} for number in range(3)]})
    assert "error: " in home.syncer("try", home.upstream.url, "--format", "openrouter").out
    serve(home.upstream, {"models": []})
    said = home.syncer("try", home.upstream.url, "--format", "openrouter")
    assert said.code == 1
    assert said.err.startswith("syncer: ")


def test_try_needs_a_url(home: Home) -> None:
    """A format without a URL of its own needs one: exit 2, and the message says so."""
    said = home.syncer("try")
    assert (said.code, "Traceback" in said.err) == (2, False)
    assert "URL" in said.err


# -- a source of a built-in format -------------------------------------------------------------------------------------


def test_the_environment_alone_makes_a_source(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNCER_FORMAT and a URL of one's own make a source called default; two prices of a model have a history each."""
    (home.path / "syncer.toml").unlink()
    monkeypatch.setenv("SYNCER_FORMAT", "openrouter")
    monkeypatch.setenv("SYNCER_API_URL", home.upstream.url)
    serve(home.upstream, {"data": OPENROUTER})
    said = home.syncer("sync")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("default: changed: 3 added (3 listed) [run 1]\n")
    assert "input 1, output 10 USD per 1M tokens" in said.out
    dearer = [OPENROUTER[0] | {"pricing": {"prompt": "0.000001", "completion": "0.00002"}}, *OPENROUTER[1:]]
    serve(home.upstream, {"data": dearer})
    assert "output 10 -> 20 USD per 1M tokens (+100 %)" in home.syncer("sync").out
    rows = home.sql("SELECT component, count(*) FROM price_periods WHERE model = 'acme/m0' GROUP BY component")
    assert dict(rows) == {"input": 1, "output": 2}
    assert home.syncer("db", "verify").code == 0
