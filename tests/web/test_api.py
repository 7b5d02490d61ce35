"""The JSON API, its CSV twins, its document and the feeds: exact, complete, and never ill-formed."""

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import feedparser
import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer import history
from syncer.web import words
from syncer.web.api import ENDPOINTS
from tests.web.world import HOSTILE, R1, World

ASKED = {
    "catalog": "",
    "model": "?model=lab%2Fsol",
    "prices": "?model=deepseek-ai%2FDeepSeek-R1&source=acme",
    "changes": "?limit=200",
    "diff": "?from=2026-01-03",
    "freshness": "",
    "held": "",
    "runs": "?limit=200",
    "offers": "?model=deepseek-ai%2FDeepSeek-R1",
}
assert set(ASKED) == set(ENDPOINTS)


@pytest.fixture
def face(world: World) -> Iterator[httpx.Client]:
    """A client of the API."""
    with httpx.Client(base_url=f"{world.url}/api/v1") as client:
        yield client


def rows(answer: httpx.Response) -> list[dict[str, Any]]:
    """The rows of an answer, their prices exact."""
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal)["data"]
    return found


@pytest.mark.parametrize("name", ASKED)
def test_json_and_csv_have_the_same_rows(face: httpx.Client, name: str) -> None:
    """As many rows, the same columns; .json is the path without an ending."""
    plain = rows(face.get(f"/{name}{ASKED[name]}"))
    assert plain == rows(face.get(f"/{name}.json{ASKED[name]}"))
    head, *lines = csv.reader(io.StringIO(face.get(f"/{name}.csv{ASKED[name]}").text))
    assert len(lines) == len(plain) > 0
    assert head == list(plain[0])


@pytest.mark.parametrize("name", ASKED)
def test_the_document_describes_what_is_answered(world: World, face: httpx.Client, name: str) -> None:
    """Each answer fits its schema in the OpenAPI document."""
    document = httpx.get(f"{world.url}/openapi.json").json()
    operation = document["paths"][f"/api/v1/{name}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(face.get(f"/{name}{ASKED[name]}").json(), {**schema, "components": document["components"]})


def test_prices_are_those_of_the_question(world: World, face: httpx.Client) -> None:
    """The periods over HTTP are those of `history.price_periods`, to the last digit."""
    with history.connect(world.database) as connection:
        periods = history.price_periods(connection, R1, source="acme")
    said = rows(face.get("/prices", params={"model": R1, "source": "acme"}))
    assert [row["price"] and Decimal(str(row["price"])) for row in said] == [period.price for period in periods]


def test_pages_follow_each_other_without_a_hole(world: World, face: httpx.Client) -> None:
    """`next` leads through all changes, backwards by `before` and forwards by `after`."""
    for first in ("/changes?limit=7", "/changes?after=0&limit=7"):
        seen, path = [], f"{world.url}/api/v1{first}"
        while True:
            body = httpx.get(path).json()
            seen += [row["id"] for row in body["data"]]
            if body["next"] is None:
                break
            path = world.url + body["next"]
        with history.connect(world.database) as connection:
            every = [row.id for row in history.changes(connection)]
        assert sorted(seen) == every
        assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/catalog?color=red", 400, "there is no parameter 'color'"),
        ("/catalog?page=1&page=2", 400, "given twice"),
        ("/catalog?size=1000", 400, "from 1 to 200"),
        ("/prices", 400, "model is missing"),
        ("/prices?model=lab%2Fsol&component=smell", 404, "never had a price"),
        ("/prices?model=deepseek-ai%2FDeepSeek-R1", 409, "may mean"),
        ("/changes?after=999999", 409, "beyond the end of the feed"),
        ("/changes?before=99999999999999999999", 400, "whole number"),
        ("/diff?from=2026-02-01&to=2026-01-01", 409, "later"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_document(face: httpx.Client, path: str, status: int, word: str) -> None:
    """RFC 9457: the status, and one sentence that says what would have fitted."""
    answer = face.get(path)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


def test_a_304_comes_before_any_other_question(face: httpx.Client) -> None:
    """The tag of an answer is weak and is enough to get nothing."""
    tag = face.get("/changes").headers["etag"]
    assert face.get("/changes", headers={"If-None-Match": tag}).status_code == 304


# -- feeds -------------------------------------------------------------------------------------------------------------


def test_atom_is_valid_whatever_it_holds(world: World) -> None:
    """Feedparser finds nothing wrong; ids are permanent tag URIs; hostile text is text."""
    answer = httpx.get(f"{world.url}/feed.atom")
    parsed = feedparser.parse(answer.content)
    assert not parsed.bozo
    assert len({entry.id for entry in parsed.entries}) == len(parsed.entries) > 20
    assert all(entry.id.startswith("tag:syncer,2026:") for entry in parsed.entries)
    assert answer.text == httpx.get(f"{world.url}/feed.atom").text


def test_a_feed_of_one_model(world: World) -> None:
    """Both forms follow a model, however it is called."""
    query = {"model": HOSTILE, "source": "acme"}
    parsed = feedparser.parse(httpx.get(f"{world.url}/feed.atom", params=query).content)
    items = httpx.get(f"{world.url}/feed.json", params=query).json()["items"]
    assert not parsed.bozo
    assert [entry.id for entry in parsed.entries] == [item["id"] for item in items]
    assert len(items) == 1


@given(st.text())
def test_cleaned_text_is_xml(text: str) -> None:
    """No character that XML 1.0 forbids is left, and all others are."""
    import xml.etree.ElementTree as ET
    from xml.sax.saxutils import escape

    cleaned = words.clean(text)
    assert len(cleaned) == len(text)
    element = ET.fromstring(f"<a>{escape(cleaned, {chr(13): '&#13;'})}</a>".encode())
    assert (element.text or "") == cleaned
