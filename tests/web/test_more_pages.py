"""The pages that compare, the sources with what is held, and the manual, over HTTP."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from syncer import history
from syncer.manual import TOPICS
from syncer.settings import Settings
from syncer.web.server import serve
from tests.story import Story
from tests.upstream import Upstream
from tests.web.test_pages import text_of
from tests.web.world import R1, World


@pytest.fixture
def face(world: World) -> Iterator[httpx.Client]:
    """A client of the pages."""
    with httpx.Client(base_url=world.url) as client:
        yield client


def test_two_moments_differ_net(face: httpx.Client) -> None:
    """What moved, came and went between two moments, with totals; each price of a model is a row."""
    said = text_of(face.get("/compare", params={"from": "2026-01-03"}))
    assert "4 prices lower and 1 higher, 2 models listed since, 0 no longer listed." in said
    assert "lab/sol output router 10 6 USD / 1M tokens ▼ −40 %" in said  # noqa: RUF001 - a true minus
    unknown = text_of(face.get("/compare", params={"from": "2026-02-02", "to": "2026-02-08"}))
    assert "0 prices lower and 0 higher, 1 stated anew or no longer, 0 models listed since" in unknown
    assert face.get("/compare", params={"from": "2026-02-01", "to": "2026-01-01"}).status_code == 409


def test_prices_of_other_units_never_share_a_scale(face: httpx.Client) -> None:
    """Another unit is refused in words; a name that two sources have stands for both."""
    query = "m=deepseek-ai%2FDeepSeek-R1&m=black-forest-labs%2FFLUX.1-dev"
    said = text_of(face.get(f"/compare/models?{query}"))
    assert "black-forest-labs/FLUX.1-dev of acme is priced in USD / image, which shares no scale" in said
    assert "A deepseek-ai/DeepSeek-R1 acme" in said
    assert "B deepseek-ai/DeepSeek-R1 input router" in said


def test_who_offers_a_model(face: httpx.Client) -> None:
    """Its prices at each source; those of other components or units are apart."""
    said = text_of(face.get("/offers", params={"model": R1}))
    assert "2 sources offer it." in said
    assert "acme deepseek-ai/DeepSeek-R1 0.55" in said


def test_sources_say_what_is_withheld_and_what_ran(face: httpx.Client) -> None:
    """Believed and withheld side by side, the commands that settle it, and the runs, quiet ones in a row as one."""
    said = text_of(face.get("/sources"))
    assert "acme: 1 model moved in price too far for one step" in said
    assert "deepseek-ai/DeepSeek-R1 price 0.55 550" in said
    assert "syncer approve acme --finding" in said
    assert "3 observations, nothing new" in said
    assert "✕failed" in said
    assert "failed" not in text_of(face.get("/sources", params={"outcome": "held"})).partition("Runs")[2][60:]


def test_runs_are_paged_by_id(world: World) -> None:
    """`before` and `outcome` narrow the runs."""
    with history.connect(world.database) as connection:
        every = [run.id for run in history.runs(connection)]
        assert [run.id for run in history.runs(connection, before=every[3])] == every[4:]
        assert {run.outcome for run in history.runs(connection, outcome="failed")} == {"failed"}


def test_the_manual_is_served(face: httpx.Client) -> None:
    """Each page of it, and its links lead to the other pages."""
    for topic in TOPICS:
        page = face.get(f"/manual/{topic}")
        assert page.status_code == 200
        assert ".md" not in "".join(part.partition('"')[0] for part in page.text.split('href="/manual')[1:])


def test_what_comes_back_as_it_was_has_no_move(sqlite_url: str, upstream: Upstream) -> None:
    """A model that returns at its old price is listed again, and nothing more is said."""
    with Story(sqlite_url, upstream, removal_after=timedelta(hours=1)) as story:
        story.on("01-01", A="1", B="2").on("01-02", B="2").on("01-04", B="2").on("01-05", A="1", B="2")
        with serve(story.engine, Settings(), "127.0.0.1:0", clock=lambda: story.now) as served:
            said = text_of(httpx.get(f"{served.url}/changes"))
    assert "A relisted: listed again at 1" in said
    assert "→" not in said.partition("relisted")[2].partition("1 January")[0].replace("Older →", "")
