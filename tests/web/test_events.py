"""Server-sent events over real connections: in order, resumed without a hole, bounded, ended by the server."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from syncer.settings import Settings
from syncer.web.events import MOST_STREAMS
from syncer.web.server import Served, serve
from tests.story import Story
from tests.upstream import Upstream

TIMEOUT = httpx.Timeout(20)


@pytest.fixture
def story(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """One source called `shop`, on each kind of database."""
    with Story(database_url, upstream) as story:
        yield story


@pytest.fixture
def pages(story: Story) -> Iterator[Served]:
    """What is served of it."""
    story.on("01-01", A="1", B="2")
    with serve(story.engine, Settings(), "127.0.0.1:0", clock=lambda: story.now) as served:
        yield served


def read(response: httpx.Response, count: int) -> list[dict[str, Any]]:
    """The next events: their id, their name and their data."""
    found: list[dict[str, Any]] = []
    fields: dict[str, Any] = {}
    lines = response.extensions.setdefault("lines", response.iter_lines())
    for line in lines:
        if not line and "data" in fields:
            found.append({**fields, "data": json.loads(fields["data"])})
            fields = {}
            if len(found) == count:
                break
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
    return found


def test_a_stream_goes_on_where_it_was_cut(story: Story, pages: Served) -> None:
    """With Last-Event-ID the feed follows without a hole and in order, notices too, and what is written meanwhile."""
    url = f"{pages.url}/events"
    with httpx.stream("GET", url, params={"after": "0"}, timeout=TIMEOUT) as first:
        (one,) = read(first, 1)
    with httpx.stream("GET", url, headers={"Last-Event-ID": one["id"]}, timeout=TIMEOUT) as second:
        (two,) = read(second, 1)
        story.on("01-02", A="1.5", B="2")
        (three,) = read(second, 1)
    assert [int(event["id"]) for event in (one, two, three)] == [1, 2, 3]
    assert three["data"]["type"].endswith("repriced")
    assert three["event"] == "change"


def test_a_position_of_another_database_is_refused(pages: Served) -> None:
    """A position beyond the end says so instead of waiting for ever."""
    answer = httpx.get(f"{pages.url}/events", headers={"Last-Event-ID": "999"}, timeout=TIMEOUT)
    assert answer.status_code == 409


def test_the_end_of_the_server_ends_the_streams(story: Story) -> None:
    """A stop is not held up by a stream that is open."""
    story.on("01-01", A="1")
    with serve(story.engine, Settings(), "127.0.0.1:0", clock=lambda: story.now) as served:
        client = httpx.Client(timeout=TIMEOUT)
        stream = client.stream("GET", f"{served.url}/events", params={"after": "0"})
        response = stream.__enter__()
        read(response, 1)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    with suppress(httpx.HTTPError):
        assert read(response, 1) == []
    client.close()


def test_streams_are_bounded(pages: Served) -> None:
    """One more than there may be is told to come back."""
    with httpx.Client(timeout=TIMEOUT, limits=httpx.Limits(max_connections=None)) as client:
        streams = [client.stream("GET", f"{pages.url}/events") for _ in range(MOST_STREAMS)]
        for stream in streams:
            assert stream.__enter__().status_code == 200
        refused = client.get(f"{pages.url}/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        for stream in streams:
            stream.__exit__(None, None, None)
