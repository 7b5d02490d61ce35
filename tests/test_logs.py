"""logs: one line an event, whatever is in it, and nothing secret."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from syncer.cli import logs
from syncer.settings import Secret

LOG = logging.getLogger("syncer.test")


def fail(text: str) -> None:
    """Raise an error that says `text`."""
    raise ValueError(text)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """The logging of the test runner, put back after each test."""
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("syncer", "httpx", "httpcore")}
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_a_json_event_is_one_object_with_its_fields() -> None:
    """A JSON line holds time in UTC, level, logger, message and the extra fields, which never hide the first four."""
    out = io.StringIO()
    logs.configure("json", 0, out)
    LOG.warning("held %d", 3, extra={"source": "main", "run": 7, "level": "forged"})
    event = json.loads(out.getvalue())
    assert list(event) == ["at", "level", "logger", "message", "source", "run"]
    assert (event["level"], event["logger"], event["message"]) == ("WARNING", "syncer.test", "held 3")
    assert event["at"].endswith("Z")
    assert datetime.fromisoformat(event["at"]).tzinfo is not None


def test_a_text_event_is_one_line_with_its_fields() -> None:
    """A text line is time, level, logger, message, then key=value."""
    out = io.StringIO()
    logs.configure("text", 0, out)
    LOG.warning("held", extra={"source": "main"})
    assert out.getvalue().split(" ", 1)[1] == "WARNING syncer.test held source=main\n"


@pytest.mark.parametrize("format", ["text", "json"])
def test_upstream_cannot_forge_a_line(format: str) -> None:  # noqa: A002
    """Law 12: line breaks and escapes in a message, a field or a traceback stay within the one line."""
    out = io.StringIO()
    logs.configure(format, 0, out)  # type: ignore[arg-type]
    forged = "x\n2026-01-01T00:00:00Z ERROR syncer fake\u2028\x1b[31m\r"
    try:
        fail(forged)
    except ValueError:
        LOG.exception(forged, extra={"name_": forged})
    text = out.getvalue()
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert "ValueError" in text


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_secret_is_logged(format: str) -> None:  # noqa: A002
    """Law 11: a bearer token, a password in a URL and a Secret are masked, in message, fields and traceback."""
    out = io.StringIO()
    logs.configure(format, 0, out)  # type: ignore[arg-type]
    dsn = "postgresql://me:s3cr@t/s3cret@host/db"
    try:
        fail(dsn)
    except ValueError:
        LOG.exception("Authorization: Bearer s3cret, %s", dsn, extra={"dsn": dsn, "key": Secret("s3cret")})
    text = out.getvalue()
    assert "s3cr" not in text
    assert text.count("://***@host/db") >= 3


def test_verbosity_is_of_syncer_only() -> None:
    """-v and -vv open syncer's own log; httpx, which logs URLs, and SQLAlchemy, which logs SQL, stay at warnings."""
    out = io.StringIO()
    for verbose, expected in [(0, logging.WARNING), (1, logging.INFO), (2, logging.DEBUG), (5, logging.DEBUG)]:
        logs.configure("text", verbose, out)
        assert LOG.getEffectiveLevel() == expected
        for other in ("httpx", "httpcore.connection", "sqlalchemy.engine"):
            assert logging.getLogger(other).getEffectiveLevel() == logging.WARNING


def test_configured_twice_logs_once() -> None:
    """A second call replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    logs.configure("text", 0, first)
    logs.configure("text", 0, second)
    LOG.warning("once")
    assert not first.getvalue()
    assert second.getvalue().count("once") == 1
