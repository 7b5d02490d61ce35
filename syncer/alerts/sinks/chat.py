"""One readable message to a chat, a phone or a mailbox, through the Apprise library (extra `apprise`).

- Counts first, then the most important lines, then the command that shows the rest; short enough for any chat.
- No name can format, mention, link or break a line (law 12): see `_defused`.
- Apprise runs in a process of its own, ended at the deadline: its timeouts are per read, and it reads whole answers.
"""

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.alerts.sinks import apprise_child, command
from syncer.core.words import describe_change, how_to_install
from syncer.errors import SettingsError
from syncer.settings.rules import Secret, secret, text, variable
from syncer.settings.secrets import require_field
from syncer.settings.sinks import Opening, SinkSettings, register

_MOST_LINES = 10
_MOST_CHARACTERS = 1500  # the shortest limit of a usual chat is 2000 (Discord)
_LONGEST_NAME = 80
_LONGEST_REASON = 200
_SHOWN = 200
# What a person must hear of first comes first.
_ORDER = ("failed", "stale", "held", "removed", "repriced", "relisted", "added", "updated", "settled", "recovered")
# What chats read as a mention, a tag or the end of code, as a letter that looks like it.
_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "´"})  # noqa: RUF001 - that is the point


class Rendered(NamedTuple):
    """One message for people, once plain and once in Markdown."""

    title: str
    text: str
    markdown: str


class _Line(NamedTuple):
    """`removed`, the model's name, and what else is said of it."""

    kind: str
    name: str
    rest: str


_URL = secret(
    text("one URL of the Apprise library such as slack://...", r"[A-Za-z][A-Za-z0-9+.-]*://[^\x00-\x20\x7f]*")
)
# What a Python program that speaks HTTP needs to find its way, beside what every program gets.
_ROUTES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PYTHONPATH"),
)


@register
class Chat(SinkSettings, frozen=True, kw_only=True):
    """`apprise` or `apprise_env`: one URL of the Apprise library."""

    ADDRESSES: ClassVar = ("apprise", "apprise_env")
    TOOK: ClassVar = "the chat took the sample"

    apprise: Annotated[Secret | None, _URL] = None
    apprise_env: Annotated[str | None, variable(_URL)] = None

    def open(self, opening: Opening) -> Sink:
        """A sink for the chat, in a process that gets what it needs of the environment."""
        url = require_field(self, "apprise", opening.environ, f"alert {opening.consumer!r}")
        return make(url, command.allowed(opening.environ, _ROUTES))


def make(url: Secret, environ: Mapping[str, str], *, deadline: timedelta = DEADLINE) -> Sink:
    """A sink for one Apprise URL; `environ` is for the process. Raises SettingsError without the extra."""
    if importlib.util.find_spec("apprise") is None:
        raise SettingsError(f"Alerts through Apprise need an extra: {how_to_install('apprise')}.")
    argv = [sys.executable, "-P", str(Path(apprise_child.__file__))]

    def send(message: Message) -> None:
        given = {"url": url.reveal(), **render(message.events, is_test=message.is_test)._asdict()}
        where = f"the chat of {message.consumer!r}"
        try:
            ended = command.run(argv, environ, msgspec.json.encode(given), deadline)
        except OSError as error:
            raise DeliveryError(f"{where} cannot be told: no process can be started: {error.strerror}") from None
        if ended.code == 0:
            return
        if ended.code is None:
            raise DeliveryError(f"{where} did not answer within {deadline.total_seconds():g} s; check that it is up")
        if ended.code == 2:
            raise DeliveryError(f"{where} cannot be told: Apprise does not understand its URL; correct it")
        said = http_client.escape(http_client.redact(ended.stderr, http_client.url_secrets(url.reveal())))[-_SHOWN:]
        raise DeliveryError(f"{where} was not told; check its URL and that it is up" + (f" ({said})" if said else ""))

    return send


def render(events: Sequence[Mapping[str, Any]], *, is_test: bool = False) -> Rendered:
    """The message that tells these events (CloudEvents as parsed JSON, in feed order), at least one."""
    counts = Counter(_kind(event) for event in events)
    head = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts, key=_rank))
    several = len({_data(event).get("source") for event in events}) > 1
    lines = [_line(event, with_source=several) for event in sorted(events, key=_importance)]
    told = lines[: _fitting(lines)]
    more = len(events) - len(told)
    shows = f"syncer changes --after {int(events[0]['id']) - 1}" if more else ""
    sample = "A sample: nothing has happened. " if is_test else ""
    return Rendered(
        title=f"{'[TEST] ' if is_test else ''}syncer: {head}",
        text="\n".join([f"{sample}{head}", "", *map(_plain, told), *([f"and {more} more: {shows}"] if more else [])]),
        markdown="\n".join(
            [f"{sample}**{head}**", "", *map(_marked, told), *(["", f"and {more} more: `{shows}`"] if more else [])]
        ),
    )


# --- one line ------------------------------------------------------------------------------------------------------


def _line(event: Mapping[str, Any], *, with_source: bool) -> _Line:
    data, kind = _data(event), _kind(event)
    name = _defused(str(event.get("subject") or data.get("source") or ""))
    rest = describe_change(data, clean=_defused) if "model" in data else _reason(data)
    if with_source and data.get("source") and "model" in data:
        rest += f" [{_defused(str(data['source']))}]"
    return _Line(kind, name, rest)


def _reason(data: Mapping[str, Any]) -> str:
    """What a notice says: why a source failed or something is held, how it was settled, since when it is stale."""
    if "last_good_look_at" in data:
        return f"(last good look: {_defused(str(data['last_good_look_at'] or 'never'))})"
    said = (data.get(key) for key in ("error", "why", "state"))
    return next((_defused(str(text), _LONGEST_REASON) for text in said if text), "")


def _plain(line: _Line) -> str:
    return f"{line.kind} {line.name} {line.rest}".rstrip()


def _marked(line: _Line) -> str:
    # Within code nothing formats, and `_defused` leaves no backtick to end it.
    return f"- {line.kind} `{line.name}`" + (f" `{line.rest}`" if line.rest else "")


def _defused(text: str, longest: int = _LONGEST_NAME) -> str:
    """Text of others as it may stand in a chat: bounded, on one line, no mention, no tag, no markup."""
    shown = http_client.escape(re.sub(r"\s+", " ", text)).translate(_LOOKALIKES)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


# --- which of them, in which order -----------------------------------------------------------------------------------


def _fitting(lines: Sequence[_Line]) -> int:
    """How many lines fit, the first one always."""
    size = 0
    for count, line in enumerate(lines[:_MOST_LINES]):
        size += len(_marked(line)) + 1
        if count and size > _MOST_CHARACTERS:
            return count
    return min(len(lines), _MOST_LINES)


def _importance(event: Mapping[str, Any]) -> tuple[int, Decimal]:
    """Kinds in their order, large moves first (from or to unknown or 0 before all); sorting keeps the order else."""
    percent = _data(event).get("percent")
    size = Decimal("Infinity") if percent is None else abs(Decimal(percent))
    return _rank(_kind(event)), -size


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _kind(event: Mapping[str, Any]) -> str:
    return str(event["type"]).rpartition(".")[2]


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data: Mapping[str, Any] = event.get("data") or {}
    return data
