"""The mirror: another syncer that syncs from it comes to have the same catalog."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from syncer import history
from syncer.core import formats, parse
from syncer.settings import Settings
from syncer.web.mirror import envelope
from syncer.web.server import serve
from tests.story import Story, instant
from tests.upstream import Upstream
from tests.web.world import R1, World


@pytest.fixture
def story(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """One source called `shop`, on each kind of database."""
    with Story(database_url, upstream) as story:
        yield story


def prices(url: str, source: str) -> dict[str, tuple[object, ...]]:
    """What a database has of a source: name -> its prices and details."""
    with history.connect(url) as connection:
        return {
            row.model: (row.prices, row.alias, row.type, row.context_length, row.description)
            for row in history.catalog(connection, source=source)
        }


def test_a_syncer_can_sync_from_another_ones_mirror(story: Story, upstream: Upstream, tmp_path: Path) -> None:
    """Both catalogs are equal, and a second poll is a 304."""
    story.on("01-01", A="1", B="2.5", C=None).on("01-02", A="1.5", B="2.5", C=None)
    with (
        serve(story.engine, Settings(sources=(story.source,)), "127.0.0.1:0", clock=lambda: story.now) as served,
        Story(f"sqlite:///{tmp_path / 'copy.db'}", upstream) as copy,
    ):
        copy.set(url=f"{served.url}/mirror/shop").again("01-03")
        assert prices(copy.url, "shop") == prices(story.url, "shop")
        copy.again("01-03 06:00")
        assert copy.runs()[-1].http_status == 304


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("litellm", b'{"gpt-5":{"input_cost_per_token":1e-6,"litellm_provider":"openai","mode":"chat"}}'),
        ("anthropic", b'{"data":[{"id":"a","display_name":"A"},{"id":"b"}],"has_more":false,"last_id":"b"}'),
    ],
)
def test_a_map_and_a_paged_list_are_mirrored_whole(name: str, body: bytes, upstream: Upstream, tmp_path: Path) -> None:
    """A client of either format takes the mirror for the provider: nothing is missing, and nothing looks partial."""
    with (
        Story(f"sqlite:///{tmp_path / 'one.db'}", upstream, name=name, format=name) as one,
        Story(f"sqlite:///{tmp_path / 'copy.db'}", upstream, name=name, format=name) as copy,
    ):
        one.set(url=f"{upstream.url}/models").sends("01-01", body)
        with serve(one.engine, Settings(sources=(one.source,)), "127.0.0.1:0", clock=lambda: one.now) as served:
            copy.set(url=f"{served.url}/mirror/{name}").again("01-02")
        assert (copy.run.outcome, copy.run.error) == ("changed", None)
        assert prices(copy.url, name) == prices(one.url, name) != {}


def test_what_was_reverted_is_mirrored_as_it_was(story: Story) -> None:
    """A change that a person took back has no element: the one that said the restored state stands for it."""
    from syncer.revert import revert_run

    story.on("01-01", A="1").on("01-02", A="2")
    revert_run(story.engine, story.run.id, clock=lambda: instant("01-03"), owner="a test")
    with serve(story.engine, Settings(sources=(story.source,)), "127.0.0.1:0", clock=lambda: instant("01-04")) as it:
        models = httpx.get(f"{it.url}/mirror/shop/serverless/models").json()["data"]["models"]
    assert [(one["model_name"], one["price"]) for one in models] == [("A", 1)]


def test_the_mirror_answers_as_of_any_moment(world: World) -> None:
    """In the seed's envelope; `Age` is on the present catalog; before the first observation nothing is known."""
    url = f"{world.url}/mirror/acme/serverless/models"
    now = httpx.get(url)
    assert (now.json()["status"], now.headers["age"]) == ("success", "1260")
    then = httpx.get(url, params={"at": "2026-01-06"}).json()["data"]["models"]
    assert next(one["price"] for one in then if one["model_name"] == R1) == 2.74
    early = httpx.get(url, params={"at": "2025-01-01"})
    assert early.status_code == 404
    assert "acme was first observed at" in early.json()["detail"]


def test_another_format_keeps_its_own_shape(world: World) -> None:
    """At the path of the source's address; the elements are those that were sent."""
    models = httpx.get(f"{world.url}/mirror/router/api/v1/models").json()["data"]
    assert {one["id"] for one in models} == {"lab/sol", "lab/luna", R1}
    assert httpx.get(f"{world.url}/mirror/router/v2").status_code == 404
    assert httpx.get(f"{world.url}/mirror/nobody").status_code == 404


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("litellm", b'{"gpt-5":{"input_cost_per_token":1e-6,"litellm_provider":"openai","mode":"chat"}}'),
        ("models.dev", b'{"lab":{"models":{"sol":{"id":"sol","cost":{"input":1,"output":2}}}}}'),
        ("together", b'[{"id":"lab/sol","type":"chat","pricing":{"input":0.2,"output":0.4}}]'),
        (
            "huggingface",
            (
                b'{"data":[{"id":"lab/sol","providers":[{"provider":"a","pricing":{"input":1,"output":2}},'
                b'{"provider":"b","pricing":{"input":3,"output":4}}]}]}'
            ),
        ),
    ],
)
def test_each_envelope_reads_back(name: str, body: bytes) -> None:
    """Lists, maps, maps of maps and split elements: what is mirrored is read as the same models."""
    fmt = formats.builtin(name)
    first = parse.snapshot(body, fmt, observed_at=instant("01-01"))
    again = parse.snapshot(
        envelope(fmt, [bytes(row.raw).decode() for row in first.listings.values()]), fmt, observed_at=instant("01-01")
    )
    assert {one: row.prices for one, row in again.listings.items()} == {
        one: row.prices for one, row in first.listings.items()
    }
    assert again.listings
