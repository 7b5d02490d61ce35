"""The same read-only questions for agents, over stdio, by the Model Context Protocol.

- Each answer is JSON with exact numbers, and says what an agent would else guess: the window of each change, currency
  and unit of each price, and how old the knowledge of each source is.
- What a person could cause is an error of the tool, one sentence; nothing here writes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from syncer import __version__, history
from syncer.core.text import json_line
from syncer.errors import SyncerError
from syncer.web.jsonable import plain
from syncer.web.query import MOST_ID, Query
from syncer.web.site import Site, Visit

if TYPE_CHECKING:
    from mcp.types import ToolAnnotations

_MOST = 200
_INSTRUCTIONS = (
    "A history of AI model catalogs and their prices. Prices are exact decimals in `currency` for `unit` "
    "([quantity, word]); null is unknown, which is not 0. "
    "A change happened somewhere in (changed_after, effective_at]. "
    "`sources` says how old the knowledge is: never call a price current whose source is late. "
    "Times are RFC 3339, dates, or durations back from now such as 7d."
)


def server(site: Site) -> MCPServer:
    """The tools, in front of a site."""
    tools = MCPServer("syncer", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    asked = _Asked(site)
    for tool in (asked.price_at, asked.price_periods, asked.changes_since, asked.offers, asked.freshness):
        tools.add_tool(tool, annotations=_read_only(), structured_output=False)
    return tools


def _read_only() -> "ToolAnnotations":
    from mcp.types import ToolAnnotations

    return ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class _Asked:
    """The tools: their names, arguments and docstrings are what an agent sees."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def price_at(self, model: str, at: str = "now", source: str = "", component: str = "") -> str:
        """Each price of a model at one moment: whether it was listed, since when, and how sure that is.

        `model` is a name or an alias; `component` one price, such as input or output.
        """

        def find(visit: Visit) -> Sequence[msgspec.Struct]:
            moment, within = visit.query.moment("at") or visit.now, visit.query.text("source")
            name = visit.query.text("model") or ""
            if one := visit.query.text("component"):
                return [history.price_at(visit.connection, name, at=moment, source=within, component=one)]
            return history.prices_at(visit.connection, name, at=moment, source=within)

        return self._answer(find, model=model, at=at, source=source, component=component)

    def price_periods(self, model: str, source: str = "", component: str = "", since: str = "", until: str = "") -> str:
        """The whole price history of a model: what held from when until when (null: still)."""

        def find(visit: Visit) -> Sequence[msgspec.Struct]:
            query = visit.query
            return history.price_periods(
                visit.connection,
                query.text("model") or "",
                query.text("component"),
                since=query.moment("since"),
                until=query.moment("until"),
                source=query.text("source"),
            )

        return self._answer(find, model=model, source=source, component=component, since=since, until=until)

    def changes_since(
        self, since: str = "7d", model: str = "", source: str = "", kind: str = "", before: int = 0, limit: int = 50
    ) -> str:
        """What changed since a moment, the newest first: models added, removed, relisted, repriced or updated.

        `model` may be a pattern with *. At most 200 at once: go on with `before` = the smallest id of the answer.
        """

        def find(visit: Visit) -> Sequence[msgspec.Struct]:
            from syncer.web.pages.changes import ask

            return list(ask(visit, newest_first=True, limit=min(max(limit, 1), _MOST)))

        earlier = str(min(before, MOST_ID)) if before > 0 else ""
        return self._answer(find, since=since, model=model, source=source, kind=kind, before=earlier)

    def offers(self, model: str, at: str = "") -> str:
        """Who offers a model, at what price, the cheapest of each component and unit first."""

        def find(visit: Visit) -> Sequence[msgspec.Struct]:
            return history.offers(visit.connection, visit.query.text("model") or "", at=visit.query.moment("at"))

        return self._answer(find, model=model, at=at)

    def freshness(self) -> str:
        """How well each source is known now: when it was last read, whether it is late, what is withheld."""
        return self._answer(lambda visit: [state.fresh for state in visit.states])

    def _answer(self, find: Callable[[Visit], Sequence[msgspec.Struct]], **asked: str) -> str:
        query = Query(asked.items(), self._site.clock())
        try:
            with self._site.reading() as connection:
                visit = self._site.visit(connection, query, "")
                return json_line({"now": visit.now, "sources": _ages(visit), "data": plain(list(find(visit)))})
        except SyncerError as error:
            raise ToolError(str(error)) from error


def _ages(visit: Visit) -> list[dict[str, Any]]:
    """How old the knowledge of each source is."""
    return [
        {
            "source": state.fresh.source,
            "last_observed_at": state.fresh.last_observed_at,
            "age_seconds": None
            if state.fresh.last_observed_at is None
            else int((visit.now - state.fresh.last_observed_at).total_seconds()),
            "late": state.fresh.late,
            "open_findings": state.fresh.open_findings,
        }
        for state in visit.states
    ]
