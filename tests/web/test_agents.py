"""`syncer mcp`, asked by the official SDK's own client over stdio."""

import asyncio
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment
from tests.web.world import R1, World

pytest.importorskip("mcp", reason="no mcp here: install the dev extra")

from mcp import Client, StdioServerParameters, stdio_client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def answers(world: World) -> dict[str, Any]:
    """What one session was told: the tools, and the answer to each question."""
    words = ["-c", "import sys; from syncer.cli import main; sys.exit(main())", "--database", world.database, "mcp"]
    environment = clean_environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    parameters = StdioServerParameters(command=sys.executable, args=words, env=environment, cwd=str(ROOT))

    async def ask() -> dict[str, Any]:
        async with Client(stdio_client(parameters)) as client:
            told: dict[str, Any] = {"tools": (await client.list_tools()).tools}
            for name, tool, asked in (
                ("then", "price_at", {"model": R1, "source": "acme", "at": "2026-01-06"}),
                ("periods", "price_periods", {"model": R1, "source": "acme"}),
                ("changes", "changes_since", {"since": "2026-02-17", "limit": 10}),
                ("offers", "offers", {"model": R1}),
                ("fresh", "freshness", {}),
                ("unknown", "price_at", {"model": "nothing like it"}),
            ):
                told[name] = await client.call_tool(tool, asked)
            return told

    return asyncio.run(ask())


def said(result: Any) -> dict[str, Any]:
    """What a tool answered, its prices exact."""
    assert not result.is_error, result.content
    answer: dict[str, Any] = json.loads(result.content[0].text, parse_float=Decimal)
    return answer


def test_each_tool_says_that_it_only_reads(answers: dict[str, Any]) -> None:
    """Five tools, each with a description and the hint that it changes nothing."""
    tools = answers["tools"]
    assert {tool.name for tool in tools} == {"price_at", "price_periods", "changes_since", "offers", "freshness"}
    assert all(tool.description and tool.annotations.read_only_hint for tool in tools)


def test_answers_carry_window_unit_and_age(answers: dict[str, Any]) -> None:
    """A price comes with its unit, its window, and how old the knowledge of its source is."""
    then = said(answers["then"])
    (quote,) = then["data"]
    assert (quote["price"], quote["currency"]) == (Decimal("2.74"), "USD")
    assert quote["valid_from"] == "2026-01-05T00:00:00Z"
    assert quote["changed_after"] == "2026-01-04T22:00:00Z"
    (acme,) = [source for source in then["sources"] if source["source"] == "acme"]
    assert acme["age_seconds"] > 0
    assert len(said(answers["periods"])["data"]) == 8
    assert {row["name"] for row in said(answers["changes"])["data"]} >= {R1, "lab/sol"}
    assert {offer["source"] for offer in said(answers["offers"])["data"]} == {"acme", "router"}
    assert len(said(answers["fresh"])["data"]) == 2


def test_what_cannot_be_answered_is_a_sentence(answers: dict[str, Any]) -> None:
    """An unknown model is an error of the tool that says so."""
    assert answers["unknown"].is_error
    assert "no model was ever named" in answers["unknown"].content[0].text
