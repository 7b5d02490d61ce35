"""What the tests of delivery may ask for: a receiver of webhooks, and a person's directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.receiver import Receiver
from tests.cli.home import KEY, Home
from tests.upstream import Upstream


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A started receiver that a test scripts."""
    with Receiver() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, database_url: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A directory of its own with one source called `shop`, on each kind of database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_KEY", KEY)
    made = Home(tmp_path, database_url, upstream)
    with made.engine():
        return made
