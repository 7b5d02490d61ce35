"""One readable message to a chat, a phone or a mailbox, through the Apprise library (extra `apprise`).

- Counts first, then the most important lines, then the command that shows the rest; short enough for any chat.
- It is plain text or Markdown, as the service takes it; `format` says otherwise, or says it in the words of a template.
- No name can format, mention, link or break a line (law 12): see `_defused`, and `_inert` for what a template sees.
- Apprise runs in a process of its own, ended at the deadline: its timeouts are per read, and it reads whole answers.
"""

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import msgspec

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.alerts.schema import CHANGE_TYPE
from syncer.alerts.sinks import apprise_child, command
from syncer.core.words import describe_change, describe_notice, how_to_install
from syncer.errors import SettingsError
from syncer.settings import rules
from syncer.settings.rules import Secret, secret, text, variable
from syncer.settings.secrets import require_field
from syncer.settings.sinks import Opening, SinkSettings, register

_MOST_LINES = 10
_MOST_CHARACTERS = 1500  # the shortest limit of a usual chat is 2000 (Discord)
_LONGEST_NAME = 80
_LONGEST_REST = 300
_SHOWN = 200
# What a person must hear of first comes first.
_ORDER = (
    *("failed", "stale", "held", "unreadable", "removed", "repriced", "expiring", "missing", "relisted", "added"),
    *("updated", "settled", "returned", "readable", "recovered", "reread"),
)
# What chats read as a mention, a tag or the end of code, as a letter that looks like it.
_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "@": "＠", "`": "´"})  # noqa: RUF001 - that is the point

# What formats outside of code, likewise; an underscore within a word does not.
_FLAT = str.maketrans({"*": "∗", "~": "∼", "[": "［", "]": "］", "|": "｜", "\\": "＼"})  # noqa: RUF001
_EDGE_UNDERSCORE = re.compile(r"(?<!\w)_|_(?!\w)|(?<=_)_|_(?=_)")
_LONGEST_TEMPLATED = 10_000

SLACK = "slack"
Template = Callable[[Mapping[str, Any]], str]
"""What makes a message's text of its parts; see `compile_template`."""


class TemplateError(Exception):
    """A template could not be filled in; why, as the end of a sentence."""


class Rendered(NamedTuple):
    """One message for people, once plain and once in Markdown; `as_is` if it is already as the service takes it."""

    title: str
    text: str
    markdown: str
    as_is: bool = False


class _Line(NamedTuple):
    """`removed`, the model's name, and what else is said of it."""

    kind: str
    name: str
    rest: str


class _Markup(NamedTuple):
    """How a chat writes what is strong, code, and an item of a list."""

    strong: str
    code: str
    item: str


_PLAIN = _Markup("", "", "")
_MARKDOWN = _Markup("**", "`", "- ")
_SLACK = _Markup("*", "`", "• ")
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
    """`apprise` or `apprise_env`: one URL of the Apprise library.

    `format` is "slack", for Slack's own markup, or the path of a Jinja template that says the message in other words.
    """

    ADDRESSES: ClassVar = ("apprise", "apprise_env")
    TOOK: ClassVar = "the chat took the sample"

    apprise: Annotated[Secret | None, _URL] = None
    apprise_env: Annotated[str | None, variable(_URL)] = None
    format: Annotated[str | None, rules.TEXT._replace(expected='"slack", or the path of a Jinja template')] = None

    def placed_in(self, folder: Path) -> Self:
        """The template, made a file of `folder`."""
        if self.format in {None, SLACK}:
            return self
        return msgspec.structs.replace(self, format=str(folder / str(self.format)))

    def open(self, opening: Opening) -> Sink:
        """A sink for the chat, in a process that gets what it needs of the environment."""
        url = require_field(self, "apprise", opening.environ, f"alert {opening.consumer!r}")
        template = None if self.format in {None, SLACK} else compile_template(Path(str(self.format)))
        environ = command.allowed(opening.environ, _ROUTES)
        return make(url, environ, in_slack=self.format == SLACK, template=template)


def make(
    url: Secret,
    environ: Mapping[str, str],
    *,
    in_slack: bool = False,
    template: Template | None = None,
    deadline: timedelta = DEADLINE,
) -> Sink:
    """A sink for one Apprise URL; `environ` is for the process. Raises SettingsError without the extra."""
    if importlib.util.find_spec("apprise") is None:
        raise SettingsError(f"Alerts through Apprise need an extra: {how_to_install('apprise')}.")
    argv = [sys.executable, "-P", str(Path(apprise_child.__file__))]

    def send(message: Message) -> None:
        where = f"the chat of {message.consumer!r}"
        try:
            rendered = render(message.events, is_test=message.is_test, in_slack=in_slack, template=template)
        except TemplateError as error:
            raise DeliveryError(f"{where} cannot be told: {error}") from None
        given = {"url": url.reveal(), **rendered._asdict()}
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


def render(
    events: Sequence[Mapping[str, Any]],
    *,
    is_test: bool = False,
    in_slack: bool = False,
    template: Template | None = None,
) -> Rendered:
    """The message that tells these events (CloudEvents as parsed JSON, in feed order), at least one.

    Raises TemplateError where the template cannot be filled in.
    """
    counts = Counter(_kind(event) for event in events)
    head = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts, key=_rank))
    clean = _defused if template is None else _inert
    several = len({_data(event).get("source") for event in events}) > 1
    lines = [_line(event, clean, with_source=several) for event in sorted(events, key=_importance)]
    told = lines[: _fitting(lines)]
    more = len(events) - len(told)
    shows = f"syncer changes --notices --after {int(events[0]['id']) - 1}" if more else ""
    title = f"{'[TEST] ' if is_test else ''}syncer: {head}"
    if template is not None:
        parts = {"head": head, "lines": told, "more": more, "command": shows, "is_test": is_test}
        body = template({**parts, "events": [_cleaned(event) for event in events]})
        return Rendered(title, body, body)
    head = f"{'A sample: nothing has happened. ' if is_test else ''}{{strong}}{head}{{strong}}"
    plain, markdown, slack = (_written(markup, head, told, more, shows) for markup in (_PLAIN, _MARKDOWN, _SLACK))
    return Rendered(title, slack, slack, as_is=True) if in_slack else Rendered(title, plain, markdown)


def _written(markup: _Markup, head: str, told: Sequence[_Line], more: int, shows: str) -> str:
    strong, code, _ = markup
    lines = [head.format(strong=strong), "", *(_marked(line, markup) for line in told)]
    if more:
        lines += [*([""] if code else []), f"and {more} more: {code}{shows}{code}"]
    return "\n".join(lines)


# --- in other words ------------------------------------------------------------------------------------------------


def compile_template(path: Path) -> Template:
    """What makes a message's text by the Jinja template in this file. Raises SettingsError where it is none.

    It sees `head` ("2 removed, 1 repriced"), `lines` (each with `kind`, `name`, `rest`), `more` (how many did not fit)
    and the `command` that shows them, `is_test`, and `events`, as they are everywhere but for what could format.
    It runs in a sandbox: it can neither reach nor change anything of the program.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # what a chat reads is no HTML; what a name could do to it is taken out before
    )
    try:
        template = environment.from_string(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The template {path} cannot be read: {reason}.") from None
    except jinja2.TemplateSyntaxError as error:
        raise SettingsError(f"The template {path} is not one, line {error.lineno}: {error.message}.") from None

    def fill_in(parts: Mapping[str, Any]) -> str:
        try:
            body = template.render(parts).strip()
        except Exception as error:  # noqa: BLE001 - it is a program of the user's, which can raise anything
            raise TemplateError(f"its template {path.name} failed: {http_client.escape(str(error))[:_SHOWN]}") from None
        if not body:
            raise TemplateError(f"its template {path.name} gave no text")
        return body[:_LONGEST_TEMPLATED]

    return fill_in


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - JSON
    """JSON in which no text can format."""
    if isinstance(value, str):
        return _inert(value, _LONGEST_REST)
    if isinstance(value, Mapping):
        return {_inert(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


# --- one line ------------------------------------------------------------------------------------------------------


def _line(event: Mapping[str, Any], clean: Callable[[str], str], *, with_source: bool) -> _Line:
    data, kind = _data(event), _kind(event)
    name = clean(str(event.get("subject") or data.get("source") or ""))
    describe = describe_change if str(event["type"]).startswith(CHANGE_TYPE) else describe_notice
    rest = _cut(describe(data, clean=clean), _LONGEST_REST)
    if with_source and data.get("source") and "model" in data:
        rest += f" [{clean(str(data['source']))}]"
    return _Line(kind, name, rest)


def _marked(line: _Line, markup: _Markup) -> str:
    # Within code nothing formats, and `_defused` leaves no backtick to end it.
    _, code, item = markup
    rest = f" {code}{line.rest}{code}" if line.rest else ""
    return f"{item}{line.kind} {code}{line.name}{code}{rest}"


def _defused(text: str, longest: int = _LONGEST_NAME) -> str:
    """Text of others as it may stand in a chat: bounded, on one line, no mention, no tag, no end of code."""
    return _cut(http_client.escape(re.sub(r"\s+", " ", text)).translate(_LOOKALIKES), longest)


def _inert(text: str, longest: int = _LONGEST_NAME) -> str:
    """The same as it may stand outside of code: nothing in it formats or links."""
    return _EDGE_UNDERSCORE.sub("＿", _defused(text, longest)).translate(_FLAT)  # noqa: RUF001


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


# --- which of them, in which order -----------------------------------------------------------------------------------


def _fitting(lines: Sequence[_Line]) -> int:
    """How many lines fit, the first one always."""
    size = 0
    for count, line in enumerate(lines[:_MOST_LINES]):
        size += len(_marked(line, _MARKDOWN)) + 1
        if count and size > _MOST_CHARACTERS:
            return count
    return min(len(lines), _MOST_LINES)


def _importance(event: Mapping[str, Any]) -> tuple[int, Decimal]:
    """Kinds in their order, large moves first (from or to unknown or 0 before all); sorting keeps the order else."""
    prices = _data(event).get("prices") or {}
    moves = [price["percent"] for price in prices.values() if price["old"] != price["new"]]
    size = max((Decimal("Infinity") if one is None else abs(Decimal(one)) for one in moves), default=Decimal(0))
    return _rank(_kind(event)), -size


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _kind(event: Mapping[str, Any]) -> str:
    return str(event["type"]).rpartition(".")[2]


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data: Mapping[str, Any] = event.get("data") or {}
    return data
