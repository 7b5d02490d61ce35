"""Logging: one line an event, UTC, as text or as JSON. Set up once, by the command line only.

- A line break in a message or a traceback is escaped, so no upstream text can forge a line (law 12).
- Nothing secret (law 11): what looks like a bearer token or a password within a URL is masked, whoever logged it;
  httpx, which logs each URL, is only heard from WARNING up.
- Fields given with `extra=` are kept: as JSON keys, or as key=value behind the text.
"""

import logging
import re
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from syncer.cli.output import json_line, safe

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET = re.compile(
    r"""(?i)(?<=bearer )[^\s"',}]+"""
    r"""|(?<=postgres://).+(?=@)|(?<=postgresql://).+(?=@)|(?<=\+psycopg://).+(?=@)"""  # a password may hold anything
    r"""|(?<=://)[^\s"']+(?=@)"""
    r"""|(?<=password=)[^\s"',;]+"""
)


def configure(format: Literal["text", "json"], verbose: int, stream: TextIO, *, quiet: bool = False) -> None:  # noqa: A002 - the option's name
    """Log to `stream`: syncer's warnings, with `verbose` 1 what it does, with 2 the details; of others the warnings.

    `quiet`, without `verbose`: not that a request is tried again. Called again, it replaces what it set up before.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # The root stays at WARNING: at INFO, SQLAlchemy would log each statement and httpx each URL.
    logging.getLogger("syncer").setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))
    logging.getLogger("syncer.fetch").setLevel(logging.ERROR if quiet and not verbose else logging.NOTSET)
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it warns of while it gives up, it raises as well


class JsonFormatter(logging.Formatter):
    """One JSON object: at, level, logger, message, the extra fields, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        event = _event(record)
        return json_line({**event, **_extra(record), **event})  # an extra field never hides one of ours


class TextFormatter(logging.Formatter):
    """`2026-11-22T17:07:35.123Z WARNING syncer.sync message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        event = _event(record)
        behind = {**_extra(record), **({"exception": event["exception"]} if "exception" in event else {})}
        words = [event["at"], event["level"], event["logger"], event["message"]]
        return safe(" ".join([*words, *(f"{key}={value}" for key, value in behind.items())]))


def _event(record: logging.LogRecord) -> dict[str, str]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"at": at, "level": record.levelname, "logger": record.name, "message": _mask(record.getMessage())}
    if record.exc_info:
        event["exception"] = _mask(logging.Formatter().formatException(record.exc_info))
    return event


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """The fields given with `extra=`; texts masked."""
    given = {key: value for key, value in vars(record).items() if key not in _OWN}
    return {key: _mask(value) if isinstance(value, str) else value for key, value in given.items()}


def _mask(text: str) -> str:
    return _SECRET.sub("***", text)
