"""The pages over HTTP: each state of each of them, who may ask, and what a second request costs."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from syncer.db import engine as db
from syncer.db.interrupt import interrupting
from syncer.db.migrate import ensure_schema
from syncer.errors import DatabaseError, UsageError
from syncer.settings import Secret, Settings
from syncer.web.query import Query
from syncer.web.server import serve
from syncer.web.site import Site
from tests.story import Story, instant
from tests.web.world import HOSTILE, R1, World

TOKEN = Secret("a-token-of-some-length")
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
MODEL = {"source": "acme", "name": R1}


@pytest.fixture
def face(world: World) -> Iterator[httpx.Client]:
    """A client of the pages."""
    with httpx.Client(base_url=world.url) as client:
        yield client


def text_of(answer: httpx.Response) -> str:
    """What a page says, without its marks."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_data = found.append  # type: ignore[assignment,method-assign]
    parser.feed(re.sub("(?=</t[dh]>)", " ", answer.text))
    return " ".join("".join(found).split())


# -- what they say -----------------------------------------------------------------------------------------------------


def test_the_overview_says_what_is_fresh_held_and_new(face: httpx.Client) -> None:
    """Freshness, the withheld price with when it settles, the counts as links and the latest changes."""
    said = text_of(face.get("/"))
    assert "good as of 21 minutes ago" in said
    assert "1 finding is withheld acme: 1 model moved in price too far" in said
    assert "settles by itself at 20 Feb 12:00" in said
    assert "Qwen/QwQ-32B" in said
    assert 'href="/changes?kind=repriced&amp;since=30d"' in face.get("/").text


def test_a_model_says_its_price_and_how_sure_that_is(face: httpx.Client) -> None:
    """Now, since when, before, extremes; what is withheld; each period in the table; the whole log."""
    said = text_of(face.get("/model", params=MODEL))
    assert "0.55 USD / 1M tokens ▼ −44.4 %" in said  # noqa: RUF001 - a true minus
    assert "before that 0.99" in said
    assert "Withheld: upstream now says 550" in said
    assert "not listed" in said
    assert "unknown" in said


def test_several_prices_have_a_column_and_a_letter_each(face: httpx.Client) -> None:
    """Input, output and cached reads share a chart and a table; the price of an image, for another unit, does not."""
    page = face.get("/model", params={"source": "router", "name": "lab/sol"})
    assert re.findall(r'<b class="c\d">(\w)</b>', page.text) == ["I", "O", "C"]
    assert len(re.findall(r'<svg class="plot"', page.text)) == 2
    assert "input 1.5, output 6, cache read 0.25 USD / 1M tokens" in page.text


def test_a_late_belief_keeps_its_own_day(face: httpx.Client) -> None:
    """Under the day that it was believed on, a change says the day from which it holds."""
    said = text_of(face.get("/changes", params={"model": R1, "source": "acme", "kind": "removed"}))
    assert "25 January 2026 1 change 24 Jan 00:00 acme" in said


def test_marks_stand_beside_the_models_they_concern(face: httpx.Client) -> None:
    """Held, missing, unreadable and announced ends are on the row of the catalog."""
    rows = re.findall(r'<th role="rowheader".*?</th>', face.get("/catalog").text, re.DOTALL)
    for name, mark in (("Llama", "missing"), ("luna", "ends 5 Mar"), ("alert", "unreadable"), ("DeepSeek-R1", "held")):
        assert any(name in row and f">{mark}</span>" in row for row in rows)


@pytest.mark.parametrize(
    ("path", "params", "status", "words"),
    [
        ("/catalog", {"q": "deepseek-ai/DeepSeek-R2"}, 200, "Near: deepseek-ai/DeepSeek-R1"),
        ("/catalog", {"at": "2025-01-01"}, 200, "acme was not observed then"),
        ("/catalog", {"at": "2027-01-01"}, 200, "That is later than now"),
        ("/catalog", {"at": "soon"}, 400, "at is 'soon', which is not a time"),
        ("/catalog", {"source": "acne"}, 404, "the history has no source 'acne'"),
        ("/catalog", {"sort": "beauty"}, 400, "sort is 'beauty'"),
        ("/catalog", {"q": "a\x00"}, 400, "control character"),
        ("/changes", {"model": "deepseek*", "kind": "repriced"}, 200, "2.19 → 2.74"),
        ("/changes", {"before": "x"}, 400, "before is 'x'"),
        ("/changes", {"since": "2026-02-01", "until": "2026-01-01"}, 409, "since is later than until"),
        ("/model", {"name": "nothing like it"}, 404, "no model was ever named"),
        ("/model", {"name": R1}, 409, "Which one is meant?"),
        ("/model", {}, 400, "which model?"),
        ("/nowhere", {}, 404, "There is nothing here"),
    ],
)
def test_each_state_is_said(face: httpx.Client, path: str, params: dict[str, str], status: int, words: str) -> None:
    """What cannot be answered, was not observed, or is not there: the status fits, and a sentence says it."""
    answer = face.get(path, params=params)
    assert answer.status_code == status
    assert words in text_of(answer)


def test_lateness_stands_on_every_page(world: World, face: httpx.Client) -> None:
    """Nine hours on, each page says which source is late, since when and how often it is meant to be read."""
    world.ahead = timedelta(hours=9)
    try:
        for path in ("/", "/catalog", "/changes", "/model?source=acme&name=meta%2FLlama"):
            said = text_of(face.get(path))
            assert "Stale: acme and 1 more" in said
            assert "acme has not been read for 9 hours. It is meant to be read every hour." in said
    finally:
        world.ahead = timedelta(0)


def test_an_empty_database_says_what_to_type(tmp_path: Path) -> None:
    """Before the first sync the overview names the commands."""
    engine = db.open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    ensure_schema(engine)
    with serve(engine, Settings(), "127.0.0.1:0", clock=lambda: instant("01-01")) as served:
        assert "syncer sync" in httpx.get(f"{served.url}/").text


def test_without_a_database_every_page_is_503(tmp_path: Path) -> None:
    """It says so in a sentence, on the same frame."""
    engine = db.open_engine(f"sqlite:///{tmp_path / 'none.db'}")
    with serve(engine, Settings(), "127.0.0.1:0", clock=lambda: instant("01-01")) as served:
        answer = httpx.get(f"{served.url}/catalog")
    assert answer.status_code == 503
    assert "there is no syncer database at" in text_of(answer)


# -- manners -----------------------------------------------------------------------------------------------------------


def test_a_second_request_costs_nothing(face: httpx.Client) -> None:
    """The ETag is weak; what has not changed is a 304, compressed or not, and HEAD is answered like GET."""
    first = face.get("/catalog")
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    assert face.get("/catalog", headers={"If-None-Match": f'"x", {tag}'}).status_code == 304
    assert face.get("/catalog?page=2", headers={"If-None-Match": tag}).status_code == 200
    assert face.head("/catalog").headers["etag"] == tag


def test_static_files_may_be_kept_for_ever(face: httpx.Client) -> None:
    """Their names hold their digest."""
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', face.get("/").text):
        assert "immutable" in face.get(path).headers["cache-control"]


def test_every_answer_has_strict_headers(face: httpx.Client) -> None:
    """No script or style of anybody else, no frame, no sniffing, no referrer: on errors too."""
    for path in ("/", "/nowhere", "/model", "/metrics"):
        headers = face.get(path).headers
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    refused = face.post("/catalog")
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_no_text_of_upstream_is_markup(face: httpx.Client) -> None:
    """A name that is HTML, a template and a right-to-left override stays text on every page."""
    for path, params in (("/catalog", {}), ("/changes", {}), ("/model", {"source": "acme", "name": HOSTILE})):
        page = face.get(path, params=params).text
        assert "<script>alert" not in page
        assert "\x00" not in page
        assert "{{7*7}}" in page


def test_another_host_is_not_served(face: httpx.Client) -> None:
    """A page of somebody else cannot read us through a browser under its own name; probes may ask by any."""
    assert face.get("/", headers={"Host": "evil.example"}).status_code == 421
    assert face.get("/healthz", headers={"Host": "10.0.0.7:9180"}).status_code == 200


def test_a_token_is_asked_for(story: Story) -> None:
    """Bearer or the password of any user, nothing else; probes need none."""
    story.on("01-01", A="1")
    with serve(story.engine, Settings(), "0.0.0.0:0", clock=lambda: story.now, token=TOKEN) as served:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        refused = httpx.get(url)
        assert refused.status_code == 401
        assert [offer.split()[0] for offer in refused.headers.get_list("www-authenticate")] == ["Bearer", "Basic"]
        assert httpx.get(url, headers={"Authorization": f"Bearer {TOKEN.reveal()}"}).status_code == 200
        assert httpx.get(url, auth=("me", TOKEN.reveal())).status_code == 200
        assert httpx.get(url, auth=("me", "wrong")).status_code == 401
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_it_listens_elsewhere_only_when_that_is_meant(story: Story) -> None:
    """Without a token, an address that others reach is refused with both ways out."""
    with pytest.raises(UsageError, match=r"SYNCER_WEB_TOKEN.*--public"):
        serve(story.engine, Settings(), "0.0.0.0:0", clock=lambda: story.now).__enter__()
    with serve(story.engine, Settings(), "0.0.0.0:0", clock=lambda: story.now, public=True):
        pass


# -- read-only by construction -----------------------------------------------------------------------------------------


@pytest.fixture
def story(database_url: str, upstream: Any) -> Iterator[Story]:
    """One source called `shop`, on each kind of database."""
    with Story(database_url, upstream) as story:
        yield story


def test_the_database_refuses_to_write(story: Story) -> None:
    """Neither database takes a write through the site's connection."""
    site = Site(db.open_engine(story.url, read_only=True), Settings(), clock=lambda: story.now)
    story.on("01-01", A="1")
    with pytest.raises((sa.exc.DBAPIError, DatabaseError)), site.reading() as connection:
        connection.execute(sa.text("DELETE FROM findings"))
    site.engine.dispose()


def test_a_question_has_an_end(story: Story) -> None:
    """A statement that takes longer than it may is ended, and its request with an error; any number in time are not."""
    site = Site(
        db.open_engine(story.url, read_only=True),
        Settings(),
        clock=lambda: story.now,
        patience=timedelta(seconds=1),  # a busy machine stops a process for some tenths
    )
    with site.reading() as connection:
        ends_at = time.monotonic() + 1.2
        while time.monotonic() < ends_at:
            connection.execute(sa.text(COUNT.format(10_000)))
    with pytest.raises(DatabaseError, match="took longer than 1 s"), site.reading() as connection:
        connection.execute(sa.text(COUNT.format(10**12)))
    site.engine.dispose()


def test_a_connection_that_had_a_deadline_can_be_interrupted_again(sqlite_url: str) -> None:
    """What a request was bounded by is gone with it: a signal ends the next statement of the same connection."""
    engine = db.open_engine(sqlite_url)
    ensure_schema(engine)
    with Site(engine, Settings(), clock=lambda: instant("01-01")).reading():
        pass
    with pytest.raises(SystemExit, match="a signal"), interrupting(SystemExit("a signal")), db.reading(engine) as again:
        again.execute(sa.text(COUNT.format(3_000_000)))
    engine.dispose()


def test_a_plus_that_became_a_space_is_a_plus() -> None:
    """An offset that nobody encoded is still read."""
    query = Query([("at", "2026-01-01T02:00:00 02:00")], instant("01-01"))
    assert query.moment("at") == instant("01-01")
