"""The demo's provider shows everything that its days promise, and answers like a real one."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from syncer.demo import DAYS, PRICE_UNITS, Day, DemoServer
from syncer.demo.catalog import DAY_1, response

KEY = {"Authorization": "Bearer demo"}

GEMMA = "google/gemma-2-27b-it"
LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
RERANKER = "BAAI/bge-reranker-v2-m3"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
WHISPER = "openai/whisper-large-v3"

BAD_DAY = 7
TRUNCATED_DAY = 11
MISTAKEN_DAY = 13

CALENDAR = {
    1: set(),
    2: set(),
    3: {"+ Qwen/QwQ-32B", "+ black-forest-labs/FLUX.1-dev", f"- {GEMMA}"},
    4: {
        "mistralai/Mistral-Small-24B-Instruct-2501 price 0.14 -> 0.09",
        "hexgrad/Kokoro-82M price 0.0006 -> None",
    },
    5: {f"- {WHISPER}", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B price 0 -> 0.4"},
    6: {f"+ {WHISPER}", "deepseek-ai/DeepSeek-R1 price 2.19 -> 2.74"},
    8: {f"+ {GEMMA}", f"- {SDXL}"},
    9: {f"{LLAMA} context_length 131072 -> 65536", f"{RERANKER} price 0.02 -> call us"},
    10: {f"{RERANKER} price call us -> 0.02", "hexgrad/Kokoro-82M price None -> 0.0008"},
    12: set(),
    13: {f"{LLAMA} price 0.59 -> 590"},
    14: {f"{LLAMA} price 590 -> 0.59"},
}
"""What moves on each day against the last day whose list was whole."""


def step_of(day: int) -> Day:
    """The step of the day, counted from 1."""
    return DAYS[day - 1]


def models_on(day: int) -> dict[str, dict[str, Any]]:
    """The elements of that day's list by name, every number an exact Decimal."""
    document = json.loads(step_of(day).body, parse_float=Decimal, parse_int=Decimal)
    return {model["model_name"]: model for model in document["data"]["models"]}


def price_on(day: int, name: str) -> Any:
    """The price as sent that day: a Decimal, None or a text."""
    return models_on(day)[name]["price"]


def moves(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What differs between two lists: `+ name`, `- name` or `name field old -> new`."""
    yield from (f"+ {name}" for name in after.keys() - before.keys())
    yield from (f"- {name}" for name in before.keys() - after.keys())
    for name in before.keys() & after.keys():
        for field, old in before[name].items():
            if after[name][field] != old:
                yield f"{name} {field} {old} -> {after[name][field]}"


def test_each_day_moves_what_it_says_and_nothing_else() -> None:
    """Between two whole lists exactly the calendar's events happen, and no others."""
    before = models_on(1)
    for day, expected in CALENDAR.items():
        after = models_on(day)
        assert set(moves(before, after)) == expected, step_of(day).title
        before = after
    assert {*CALENDAR, BAD_DAY, TRUNCATED_DAY} == set(range(1, len(DAYS) + 1))


def test_days_are_numbered_and_counted_right() -> None:
    """Each title begins with its day, fits on a line, and the numbers of models it names are true."""
    assert [step.title.split(":")[0] for step in DAYS] == [f"Day {day}" for day in range(1, len(DAYS) + 1)]
    assert all(len(step.title) <= 80 for step in DAYS)
    assert f"{len(models_on(1))} models" in step_of(1).title
    assert f"{len(models_on(TRUNCATED_DAY))} of {len(models_on(10))} models" in step_of(TRUNCATED_DAY).title


@pytest.mark.parametrize("day", CALENDAR)
def test_lists_have_the_documented_shape(day: int) -> None:
    """Every list is a `success` document whose elements have exactly the documented keys, each name once."""
    document = json.loads(step_of(day).body)
    assert (document["status"], list(document)) == ("success", ["data", "message", "status"])
    assert len(document["data"]["models"]) == len(models_on(day))
    for model in document["data"]["models"]:
        assert list(model) == [
            *("model_name", "model_alias", "model_type", "context_length"),
            *("max_completion_tokens", "description", "price", "huggingface_url"),
        ]


def test_catalog_is_mixed_and_every_price_has_a_unit() -> None:
    """The sample offers all five types of model, and the settings beside it say what each type's price buys."""
    assert {model["model_type"] for model in models_on(1).values()} == PRICE_UNITS.keys()


def test_prices_travel_as_exact_numbers() -> None:
    """Law 4: a price is a JSON number with the literal's own digits, and the same bytes come at each start."""
    assert b'"price":0.009,' in step_of(1).body
    assert b'"price":2.74,' in step_of(6).body
    assert response(DAY_1) == step_of(1).body


def test_an_unchanged_day_follows_a_day_that_leaves_nothing_open() -> None:
    """Day 2 repeats day 1, the baseline, so that it can be answered with 304."""
    assert step_of(2) != step_of(1)
    assert step_of(2).body == step_of(1).body


def test_removals_last_long_enough_to_be_confirmed() -> None:
    """Gemma is missing from four observations before it returns, Stable Diffusion XL from each after it left."""
    assert [day for day in CALENDAR if GEMMA not in models_on(day)] == [3, 4, 5, 6]
    assert [day for day in CALENDAR if SDXL not in models_on(day)] == [8, 9, 10, 12, 13, 14]
    assert price_on(2, GEMMA) != price_on(8, GEMMA)


def test_the_glitch_lasts_one_observation() -> None:
    """Whisper is missing from one whole list only, and the same before and after."""
    assert [day for day in CALENDAR if WHISPER not in models_on(day)] == [5]
    assert models_on(4)[WHISPER] == models_on(6)[WHISPER]


def test_the_unreadable_row_keeps_its_name_and_recovers() -> None:
    """The garbled price is the only one, among enough rows that it is at most a tenth, and its value comes back."""
    assert [name for name in models_on(9) if isinstance(price_on(9, name), str)] == [RERANKER]
    assert len(models_on(9)) >= 10
    assert models_on(8)[RERANKER] == models_on(10)[RERANKER]


def test_the_bad_response_looks_like_success() -> None:
    """The maintenance page comes with status 200 and is no JSON."""
    bad = step_of(BAD_DAY)
    assert (bad.status, bad.content_type) == (200, "text/html")
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad.body)


def test_the_false_mass_removal_is_taken_back() -> None:
    """The cut list is valid, lacks more than half of the models, changes none that it has, and is whole again next."""
    cut, whole = models_on(TRUNCATED_DAY), models_on(TRUNCATED_DAY - 1)
    assert cut.items() <= whole.items()
    assert len(cut) * 2 < len(whole)
    assert step_of(TRUNCATED_DAY + 1).body == step_of(TRUNCATED_DAY - 1).body


def test_only_the_mistaken_unit_is_implausible() -> None:
    """One price is 1000 times too high for one observation; every other positive price stays within a factor of two."""
    assert price_on(MISTAKEN_DAY, LLAMA) == 1000 * price_on(MISTAKEN_DAY - 1, LLAMA)
    assert step_of(MISTAKEN_DAY + 1).body == step_of(MISTAKEN_DAY - 1).body
    for name in models_on(10):
        days = [day for day in CALENDAR if day != MISTAKEN_DAY and name in models_on(day)]
        prices = [price_on(day, name) for day in days]
        positive = [price for price in prices if isinstance(price, Decimal) and price > 0]
        assert max(positive) <= 2 * min(positive), name


@pytest.fixture
def demo() -> Iterator[DemoServer]:
    """The running demo server, at its first step."""
    with DemoServer(DAYS) as server:
        yield server


def get(demo: DemoServer, path: str = "/serverless/models", **headers: str) -> httpx.Response:
    """The answer to one real request."""
    return httpx.get(demo.url + path, headers=headers)


@pytest.mark.parametrize("index", range(len(DAYS)))
def test_server_answers_with_the_step_it_is_set_to(demo: DemoServer, index: int) -> None:
    """Each step's status, content type and very bytes arrive over HTTP, with an ETag."""
    demo.step = index
    answer = get(demo, **KEY)
    assert (answer.status_code, answer.content) == (DAYS[index].status, DAYS[index].body)
    assert answer.headers["content-type"] == DAYS[index].content_type
    assert answer.headers["etag"]
    assert demo.step == index


def test_server_says_304_while_the_body_is_the_same(demo: DemoServer) -> None:
    """An ETag is good as long as the bytes are, over steps, and no longer."""
    etag = get(demo, **KEY).headers["etag"]
    demo.step = 1
    same = get(demo, **KEY, **{"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    demo.step = 2
    assert get(demo, **KEY, **{"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "Basic demo"}])
def test_server_wants_a_demo_key(demo: DemoServer, headers: dict[str, str]) -> None:
    """Without a bearer token that begins with `demo` the answer is a 401 in the provider's own shape."""
    answer = get(demo, **headers)
    assert (answer.status_code, answer.json()["status"]) == (401, "failed")


def test_server_has_one_page(demo: DemoServer) -> None:
    """Any other path is a 404 that names the right one."""
    answer = get(demo, "/models", **KEY)
    assert answer.status_code == 404
    assert "/serverless/models" in answer.json()["message"]


def test_server_passes_on_a_status_of_its_step() -> None:
    """A step that is an outage arrives as one, without an ETag."""
    outage = Day(title="down", status=503, body=b"down", content_type="text/plain")
    with DemoServer([outage]) as server:
        answer = get(server, **KEY)
    assert (answer.status_code, answer.text, "etag" in answer.headers) == (503, "down", False)


def test_server_refuses_a_step_it_does_not_have(demo: DemoServer) -> None:
    """A step beyond the last is an IndexError for who sets it, and the one served stays."""
    with pytest.raises(IndexError):
        demo.step = len(DAYS)
    assert demo.step == 0
    assert get(demo, **KEY).status_code == 200


def test_server_is_gone_when_left() -> None:
    """After the `with` block nobody listens at the address."""
    with DemoServer(DAYS) as server:
        pass
    with pytest.raises(httpx.ConnectError):
        get(server, **KEY)
