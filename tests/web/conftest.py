"""The world of the pages, made once and served for all tests that only read it."""

from collections.abc import Iterator

import pytest

from syncer.db import engine as db
from syncer.web.server import serve
from tests.upstream import Upstream
from tests.web.world import World, settings_of, tell


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two sources, seven weeks, served; `ahead` moves the clock of the pages."""
    url = f"sqlite:///{tmp_path_factory.mktemp('world') / 'syncer.db'}"
    with Upstream() as first, Upstream() as second:
        made_at = tell(url, first, second)
    world = World(url="", database=url, made_at=made_at)
    with serve(db.open_engine(url), settings_of(url), "127.0.0.1:0", clock=world.clock) as served:
        world.url = served.url
        yield world
