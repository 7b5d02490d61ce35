"""A key that upstream writes into its catalog goes nowhere: it is in no table, no kept response and no message."""

import base64
import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import syncer
from syncer.http_client import redact_bytes
from tests.upstream import Upstream, model

KEY = "sk-Tenant/42+aVeryOwnKey"


def odd_spellings() -> list[str]:
    """The key as it is, in other case, in base64 (of it alone, and within other text), and percent-encoded."""
    packed = base64.b64encode(KEY.encode()).decode()
    within = base64.urlsafe_b64encode(f"Bearer {KEY} of you".encode()).decode()
    return [KEY, KEY.upper(), KEY.lower(), packed, within, "sk-Tenant%2F42%2BaVeryOwnKey"]


def is_in(text: str) -> bool:
    """Whether any spelling of the key, or most of one in base64, is in the text."""
    low = text.lower()
    return any(spelling.lower() in low for spelling in odd_spellings()) or "veryownkey" in low


def test_an_echoed_key_is_stored_nowhere(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In rows that are read, rejected or unreadable, in what is kept of responses, and in what is printed: ***."""
    monkeypatch.setenv("ECHOED", KEY)
    rows = [model(f"house/{number}", 1, description=f"asked by {text}.") for number, text in enumerate(odd_spellings())]
    upstream.serve([*rows, model("house/odd", f"price for {KEY}"), {"model_name": None, "description": KEY.upper()}])
    source = {"name": "main", "url": upstream.url, "api_key_env": "ECHOED"}
    with syncer.open(database=tmp_path / "syncer.db", sources=[source]) as one:
        one.sync(save_bodies=tmp_path / "kept")
    with closing(sqlite3.connect(tmp_path / "syncer.db")) as raw:
        dumped = "\n".join(raw.iterdump())
    kept = [gzip.decompress(path.read_bytes()).decode() for path in (tmp_path / "kept").iterdir()]
    assert kept
    assert not is_in("\n".join([dumped, *kept, *capsys.readouterr()]))
    assert dumped.count("asked by ***.") >= 4
    assert "house/5" in dumped


def test_a_refusal_that_quotes_the_key(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that is no catalog is quoted in the run's error without the key."""
    monkeypatch.setenv("ECHOED", KEY)
    upstream.serve(b'{"status": "error", "message": "the key ' + KEY.upper().encode() + b' is not known"}')
    source = {"name": "main", "url": upstream.url, "api_key_env": "ECHOED"}
    with syncer.open(database=tmp_path / "syncer.db", sources=[source]) as one:
        (outcome,) = one.sync(check=False)
    assert "the key *** is not known" in str(outcome.error)
    assert not is_in(str(outcome.error))


@pytest.mark.parametrize("key", ["EMPTY", "none", "12345678"])
def test_what_is_no_secret_spoils_no_catalog(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Whoever gives a word or a number where no key is asked for finds names and prices as upstream sends them."""
    monkeypatch.setenv("ECHOED", key)
    upstream.serve([model("house/none-empty", 12345678)])
    source = {"name": "main", "url": upstream.url, "api_key_env": "ECHOED"}
    with syncer.open(database=tmp_path / "syncer.db", sources=[source]) as one:
        one.sync()
    with closing(sqlite3.connect(tmp_path / "syncer.db")) as raw:
        assert raw.execute("SELECT name, price FROM models").fetchall() == [("house/none-empty", 12345678.0)]


def test_a_body_without_the_key_stays_the_very_object() -> None:
    """Nothing is copied where there is nothing to hide."""
    body = bytearray(b'{"data": []}' * 1000)
    assert redact_bytes(body, (KEY,), whole=True) is body
