"""Sinks: a message arrives whole, or one error says what the other side answered; nothing else ever happens."""

import base64
import fcntl
import json
import logging
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import WebhookVerificationError

from syncer.alerts.message import DeliveryError, Message, Sink
from syncer.alerts.sinks import apprise_child, chat, command, file, redis, sink_for, webhook
from syncer.errors import SettingsError
from syncer.settings import AlertSettings, Secret
from tests.alerts import redis_server
from tests.alerts.receiver import OK, Endless, Receiver
from tests.alerts.redis_server import RedisServer
from tests.conftest import IN_CI
from tests.upstream import Reply

NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
SHORT = timedelta(seconds=0.5)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def now() -> datetime:
    """The real present: standardwebhooks verifies against it."""
    return datetime.now(UTC)


def event(number: int, kind: str = "repriced", name: str = "acme/large", **data: Any) -> dict[str, Any]:
    """A CloudEvent as the feed gives it, of a model with one price."""
    old, new = data.pop("old", Decimal("0.50")), data.pop("new", Decimal("0.40"))
    percent = data.pop("percent", Decimal(-20)) if kind == "repriced" else None
    unit = data.get("unit")
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "urn:syncer:f00d:main",
        "type": f"syncer.model.{kind}",
        "subject": name,
        "time": "2026-11-22T12:00:00Z",
        "data": {
            "source": "main",
            "model": name,
            "kind": kind,
            "component": "price",
            "old_price": old,
            "price": new,
            "percent": percent,
            "prices": {"price": {"old": old, "new": new, "percent": percent}},
            "changed": {"prices.price": [old, new]} if kind == "repriced" else {},
            "currency": None,
            "unit": unit,
            "units": {"price": unit},
        }
        | data,
    }


def notice(number: int, kind: str, **data: Any) -> dict[str, Any]:
    """A notice about a source's health."""
    told = {"source": "main", "kind": kind} | data
    return {"id": str(number), "type": f"syncer.source.{kind}", "subject": data.get("model", "main"), "data": told}


def message(*events: dict[str, Any]) -> Message:
    """A message of these events, or of two."""
    chosen = events or (event(1), event(2, "removed", "acme/old"))
    return Message(id="f00d-team-1-2", consumer="team", body=_JSON.encode(chosen), events=chosen)


_JSON = msgspec.json.Encoder(decimal_format="number")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, or leaves a thread of a sink behind.

    The time is far beyond the deadlines of these tests, for the machine may be busy, and far below what hangs.
    """
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("syncer-")]


def refusal(sink: Sink, sent: Message | None = None) -> DeliveryError:
    """The error in which a hand-over ends; it hides where it went and has no cause that shows it (law 11)."""
    with pytest.raises(DeliveryError) as caught:
        sink(sent or message())
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    for secret in (NEW, OLD, NEW.removeprefix("whsec_"), "t0ken", "127.0.0.1", "p4ssword"):
        assert secret not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until it holds; fail if it does not in time."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


# --- webhook ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The other side."""
    with Receiver() as server:
        yield server


def to(
    where: Receiver | str, *secrets: str, mode: webhook.Mode = "batch", deadline: timedelta = timedelta(seconds=5)
) -> Sink:
    """A webhook sink signing with these secrets."""
    url = where if isinstance(where, str) else where.url
    signing = [Secret(secret) for secret in secrets]
    return webhook.make(Secret(url), signing, clock=now, mode=mode, deadline=deadline)


def test_a_webhook_gets_the_very_bytes_signed(receiver: Receiver) -> None:
    """A message is one POST of its body as a CloudEvents batch, and the independent library verifies its signature."""
    sent = message()
    to(receiver, NEW)(sent)
    request = receiver.request
    assert (request.method, request.path, request.body) == ("POST", "/hooks/t0ken-in-the-path", sent.body)
    assert request.headers["content-type"].startswith("application/cloudevents-batch+json")
    assert request.headers["webhook-id"] == sent.id
    assert receiver.verified(NEW) == [json.loads(sent.body)]
    with pytest.raises(WebhookVerificationError):
        receiver.verified(OLD)


def test_the_timestamp_is_that_of_the_clock(receiver: Receiver) -> None:
    """The timestamp comes from the clock that was passed in, and is part of what is signed."""
    sent = message()
    webhook.make(Secret(receiver.url), [Secret(NEW)], clock=lambda: NOON, mode="batch")(sent)
    headers = receiver.request.headers
    assert headers["webhook-timestamp"] == "1795348800"
    assert headers["webhook-signature"] == webhook.signature(Secret(NEW), sent.id, "1795348800", sent.body)


def test_while_a_secret_is_rotated_both_verify(receiver: Receiver) -> None:
    """With a new and a previous secret a message carries a signature of each, so either side may change first."""
    to(receiver, NEW, OLD)(message())
    assert len(receiver.request.headers["webhook-signature"].split(" ")) == 2
    assert receiver.verified(NEW) == receiver.verified(OLD)


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    """An unsigned webhook says nothing that looks like a signature."""
    to(receiver)(message())
    assert "webhook-signature" not in receiver.request.headers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226])
def test_any_2xx_is_delivered(receiver: Receiver, status: int) -> None:
    """Whatever a receiver answers with 2xx, it has the message."""
    receiver.reply(Reply(status=status))
    to(receiver)(message())
    assert receiver.request.body == message().body


def test_a_2xx_is_delivered_even_if_its_body_never_ends(receiver: Receiver) -> None:
    """The status decides: what a receiver that has the message says after it is not waited for."""
    for reply in (Endless(), Reply(body=b"x" * 100, drip=5)):
        receiver.reply(reply)
        with within(20):
            to(receiver)(message())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "only 2xx means delivered"),
        (401, "check the secret"),
        (404, "check the URL"),
        (410, "gone"),
        (429, "too many messages"),
        (500, "it has a problem"),
        (503, "it has a problem"),
    ],
)
def test_any_other_status_is_a_refusal(receiver: Receiver, status: int, words: str) -> None:
    """The error names the status, what to do, and what the receiver said; only 410 says never again."""
    receiver.reply(Reply(status=status, body=b"no thanks"))
    error = refusal(to(receiver, NEW))
    assert str(error).startswith(f"the webhook of 'team' answered with status {status}: ")
    assert words in str(error)
    assert str(error).endswith("(it says: no thanks)")
    assert (error.gone, error.retry_after) == (status == 410, None)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(receiver: Receiver, status: int) -> None:
    """A redirect, be it to a private address, is a refusal: nothing is sent there."""
    with Receiver() as private:
        receiver.reply(Reply(status=status, headers={"Location": private.url}))
        error = refusal(to(receiver, NEW))
        assert private.requests == []
    assert f"status {status}: a redirect, which is not followed" in str(error)


@pytest.mark.parametrize(
    ("status", "value", "wait"),
    [
        (429, "120", timedelta(minutes=2)),
        (503, "7", timedelta(seconds=7)),
        (429, "Sun, 22 Nov 2026 12:01:30 GMT", timedelta(seconds=90)),
        (429, "Sun, 22 Nov 2026 11:00:00 GMT", None),
        (429, "soon", None),
        (500, "120", None),
        (410, "120", None),
    ],
)
def test_retry_after_is_honoured_with_429_and_503(
    receiver: Receiver, status: int, value: str, wait: timedelta | None
) -> None:
    """A receiver that is busy may say for how long, in seconds or as a date; nonsense says nothing."""
    receiver.reply(Reply(status=status, headers={"Retry-After": value}))
    assert refusal(webhook.make(Secret(receiver.url), [], clock=lambda: NOON)).retry_after == wait


def test_no_secret_that_a_receiver_repeats_is_shown(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: neither an error nor a log line has the URL, its token or a secret, even if the answer echoes them."""
    caplog.set_level(logging.DEBUG)
    echoes = [receiver.url, "t0ken-in-the-path", receiver.origin, NEW, f"key {NEW[6:]}", "x" * 4090 + "t0ken-in-the"]
    for echo in echoes:
        receiver.reply(Reply(status=500, body=echo.encode()))
        refusal(to(receiver, NEW))
    assert "t0ken" not in caplog.text
    assert NEW[6:] not in caplog.text


def test_a_refusal_is_shown_short_and_printable(receiver: Receiver) -> None:
    """Law 12: of an answer no control character and no more than a line is shown."""
    receiver.reply(Reply(status=500, body=b"\x1b[2J\r\n\xff" + b"x" * 100_000))
    said = str(refusal(to(receiver)))
    assert said.isprintable()
    assert "\\x1b[2J" in said
    assert len(said) < 400


@pytest.mark.faults
@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang=True),
        Reply(status=500, drip=0.05, drip_in="head"),
        Reply(status=200, drip=0.05, drip_in="head", headers={"X": "y" * 1000}),
    ],
    ids=["silence", "slow refusal", "slow head"],
)
def test_a_slow_receiver_costs_one_deadline(receiver: Receiver, reply: Reply) -> None:
    """A receiver that never gets to its status costs the deadline, a single request and no thread."""
    receiver.reply(reply)
    with within(20):
        error = refusal(to(receiver, deadline=SHORT))
    assert "did not finish within the deadline of 0.5 s" in str(error)
    assert len(receiver.requests) == 1


@pytest.mark.faults
@pytest.mark.parametrize(
    "reply",
    [Endless(status=410), Reply(status=410, body=b"x" * 100, drip=5), Reply(status=410, body=b"ab", close_after=1)],
    ids=["endless", "dripping", "cut"],
)
def test_a_refusal_counts_however_its_body_ends(receiver: Receiver, reply: Reply) -> None:
    """A status that has come decides, whether or not the body ever does."""
    receiver.reply(reply)
    with within(20):
        assert refusal(to(receiver, deadline=timedelta(seconds=1.5))).gone


@pytest.mark.parametrize(
    "garbage", [b"\x00\xff\xfe garbage\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"", b"SSH-2.0-x\r\n"]
)
def test_an_answer_that_is_no_http_is_one_error(garbage: bytes) -> None:
    """A receiver that speaks no HTTP, or hangs up, is unreachable, in one sentence."""
    with answering(garbage) as port, within(20):
        error = refusal(to(f"http://127.0.0.1:{port}/t0ken"))
    assert "the connection to the webhook of 'team' broke" in str(error)


@contextmanager
def answering(data: bytes, *, again: float | None = None) -> Iterator[int]:
    """A port that answers one connection's first bytes with `data`, each `again` seconds if given."""
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(data)
                while again is not None and not done.wait(again):
                    connection.sendall(data)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join(5)


def test_a_receiver_that_is_down_is_unreachable(receiver: Receiver) -> None:
    """A port that nobody listens on is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "cannot connect to the webhook of 'team': [Errno 111]" in str(refusal(to(f"http://127.0.0.1:{port}/t0ken")))


def test_proxies_that_cannot_be_used_are_explained(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 11: a broken proxy setting is named and its password is not."""
    monkeypatch.setenv("HTTP_PROXY", "gopher://me:p4ssword@proxy")
    assert "HTTP_PROXY" in str(refusal(to(receiver)))


def test_nothing_is_remembered_between_two_messages(receiver: Receiver, tmp_path: Path) -> None:
    """Law 11: no cookie of one answer and no password of a netrc file is in the next request."""
    receiver.reply(Reply(headers={"Set-Cookie": "a=b"}))
    sink = to(receiver)
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / ".netrc").write_text("default login me password hush\n")
        patch.setenv("HOME", str(tmp_path))
        patch.setenv("NETRC", str(tmp_path / ".netrc"))
        sink(message())
        sink(message())
    assert not {"cookie", "authorization"} & (set(receiver.requests[0].headers) | set(receiver.requests[1].headers))


def received(receiver: Receiver) -> list[CloudEvent]:
    """What the official SDK of CloudEvents reads of each request."""
    messages = [HTTPMessage(headers=dict(request.headers), body=request.body) for request in receiver.requests]
    return [cast("CloudEvent", from_http_event(message)) for message in messages]


HOSTILE = 'acme/\u00e4 "50 %"\u202e\r\nce-id: 7'


@pytest.mark.parametrize("mode", ["structured", "binary", None])
def test_single_events_are_read_by_the_official_sdk(receiver: Receiver, mode: webhook.Mode | None) -> None:
    """Each event is one request that the CloudEvents SDK reads, by default too; the signature covers its body."""
    sent = message(event(1), event(2, "removed", HOSTILE, new=None))
    chosen: dict[str, Any] = {} if mode is None else {"mode": mode}
    webhook.make(Secret(receiver.url), [Secret(NEW)], clock=now, **chosen)(sent)
    for got, meant in zip(received(receiver), sent.events, strict=True):
        assert (got.get_id(), got.get_source(), got.get_type()) == (meant["id"], meant["source"], meant["type"])
        assert (got.get_specversion(), got.get_subject(), got.get_time()) == ("1.0", meant["subject"], NOON)
        assert got.get_data() == json.loads(_JSON.encode(meant["data"]))
    kind = "application/json" if mode == "binary" else "application/cloudevents+json; charset=utf-8"
    assert [request.headers["content-type"] for request in receiver.requests] == [kind] * 2
    assert [request.headers["webhook-id"] for request in receiver.requests] == [f"{sent.id}-1", f"{sent.id}-2"]
    assert len(receiver.verified(NEW)) == 2


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_a_repeat_of_single_events_carries_the_same_ids_and_bytes(receiver: Receiver, mode: webhook.Mode) -> None:
    """What follows an event that did not arrive is not sent; the repeat sends all, each as it was."""
    sent = message(event(1), event(2), event(3))
    receiver.reply(OK, Reply(status=500, body=b"full"), OK)
    error = refusal(to(receiver, mode=mode), sent)
    assert str(error).startswith("the webhook of 'team' (event 2 of 3) answered with status 500")
    to(receiver, mode=mode)(sent)
    told = [(request.headers["webhook-id"], request.body) for request in receiver.requests]
    assert [name[-1] for name, _ in told] == ["1", "2", "1", "2", "3"]
    assert told[:2] == told[2:4]


def test_a_refusal_of_the_form_names_the_setting(receiver: Receiver) -> None:
    """415 names the modes that there are."""
    receiver.reply(Reply(status=415))
    assert "set another mode (batch, structured or binary)" in str(refusal(to(receiver)))


@pytest.mark.faults
def test_many_slow_answers_are_no_hang(receiver: Receiver) -> None:
    """The deadline is that of one request: a receiver that takes half of it each time gets every event."""
    receiver.reply(Reply(status=204, on_request=partial(threading.Event().wait, 0.7)))
    to(receiver, mode="structured", deadline=timedelta(seconds=2))(message(*[event(number) for number in range(3)]))
    assert len(receiver.requests) == 3


def test_a_receiver_gets_the_headers_that_it_wants(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Headers of the user's own are sent with each request and shown nowhere, even if they are repeated (law 11)."""
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": Secret("Bearer p4ssword-0123"), "X-Team": Secret("blue-t0ken")}
    sink = webhook.make(Secret(receiver.url), clock=now, mode="structured", headers=headers)
    sink(message())
    for request in receiver.requests:
        assert (request.headers["authorization"], request.headers["x-team"]) == ("Bearer p4ssword-0123", "blue-t0ken")
    packed = base64.b64encode(b"got Bearer p4ssword-0123").decode()
    receiver.reply(Reply(status=403, body=f"who is BLUE-T0KEN, or {packed}?".encode()))
    assert "check the secret, headers_env and the URL (it says: who is ***, or " in str(refusal(sink))
    assert "p4ssword" not in caplog.text


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Authorization", None),
        ("X-Api-Key", None),
        ("webhook-signature", "says what the request is"),
        ("CE-Id", "says what the request is"),
        ("Content-Type", "says what the request is"),
        ("Host", "set by syncer itself"),
        ("X Y", "not the name of a header"),
    ],
)
def test_a_header_that_is_ours_is_refused(name: str, fault: str | None) -> None:
    """A header that would change what a request is cannot be set."""
    said = webhook.reserved_header(name)
    assert said is None if fault is None else fault in str(said)


def test_a_dead_proxy_is_named(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is down is told as the proxy's fault, not as the receiver's."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:p4ssword@localhost:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    said = str(refusal(to(receiver)))
    assert "cannot connect to the proxy http://localhost:1 on the way to the webhook of 'team'" in said
    assert "correct HTTP_PROXY" in said


# --- command ---------------------------------------------------------------------------------------------------------


def script(text: str, *arguments: str) -> list[str]:
    """A Python program as argv."""
    return [sys.executable, "-c", text, *arguments]


def program(argv: list[str], **options: Any) -> Sink:
    """A sink that runs this program, in our environment."""
    return command.make(argv, os.environ, **options)


def test_a_command_gets_json_lines_on_stdin(tmp_path: Path) -> None:
    """A command reads one event a line, exactly as in the body, and exit 0 is delivered."""
    out = tmp_path / "out"
    sent = message()
    program(script("import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())", str(out)))(sent)
    lines = out.read_bytes().splitlines()
    assert b"[" + b",".join(lines) + b"]" == sent.body
    assert len(lines) == 2


def test_no_shell_sees_an_event_or_an_argument(tmp_path: Path) -> None:
    """Law 12: what a name or an argument holds is never executed."""
    evil = f"$(touch {tmp_path / 'evil'}); `touch {tmp_path / 'evil'}`"
    program(["cat", "/dev/stdin", "--"])(message(event(1, name=evil)))
    program(["true", evil])(message(event(1, name=evil)))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit('no \\x1b[2Jdisk')", "failed with exit code 1 (it says: no \\x1b[2Jdisk)"),
        ("raise SystemExit(7)", "failed with exit code 7; it said nothing on stderr"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import sys; sys.stderr.write('x' * 10**7 + 'end'); sys.exit(3)", "xxxend)"),
    ],
)
def test_a_command_that_fails_says_why(text: str, said: str) -> None:
    """Law 12: an exit code that is not 0 is a refusal, with the end of stderr, bounded and printable."""
    error = str(refusal(program(script(text))))
    assert said in error
    assert len(error) < 400
    assert error.isprintable()


def test_a_command_that_wants_no_events_may_leave_them() -> None:
    """Exit 0 is delivered even where more was sent than was read."""
    big = message(*(event(number, description="x" * 1000) for number in range(2000)))
    with within(20):
        program(["true"])(big)


def test_a_large_message_arrives_whole(tmp_path: Path) -> None:
    """More than a pipe holds arrives, while the program talks as much on stderr."""
    big = message(*(event(number, description="x" * 1000) for number in range(1000)))
    text = (
        "import sys\nwith open(sys.argv[1], 'wb') as out:\n"
        " for line in sys.stdin.buffer: out.write(line); sys.stderr.write('y' * 1000)"
    )
    program(script(text, str(tmp_path / "out")))(big)
    assert len((tmp_path / "out").read_bytes().splitlines()) == 1000


@pytest.mark.parametrize("name", ["./missing", "no-such-program", "/", "a\0b"])
def test_a_command_that_cannot_be_started_is_named(name: str) -> None:
    """A missing program is an error that names it and says what to check."""
    assert "cannot be started: " in str(refusal(program([name])))


@pytest.mark.faults
def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """At the deadline the whole process group ends: the program, and what it waits for."""
    text = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "child.wait()"
    )
    with within(20):
        error = refusal(program(script(text, str(tmp_path / "pids")), deadline=timedelta(seconds=2)))
    assert "was killed: it ran longer than 2 s" in str(error)
    for pid in (tmp_path / "pids").read_text().split():
        wait_for(lambda pid=pid: not _runs(int(pid)))  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # nobody may be there to reap an orphan


@pytest.mark.faults
def test_endless_stderr_costs_one_deadline() -> None:
    """A program that talks for ever is ended, and what it said is not kept."""
    with within(20):
        assert "was killed" in str(refusal(program(["sh", "-c", "yes >&2"], deadline=SHORT)))


def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """Exit 0 in time is delivered, though a child of the program still holds its stderr."""
    text = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '30'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))"
    )
    with within(20):
        program(script(text, str(tmp_path / "pid")))(message())
    os.kill(int((tmp_path / "pid").read_text()), 9)


# --- file ------------------------------------------------------------------------------------------------------------


def test_events_are_appended_as_json_lines(tmp_path: Path) -> None:
    """A file is made, and grows by a line an event, each as it stands in the body."""
    path = tmp_path / "changes.jsonl"
    sink = file.make(path)
    sink(message(event(1), event(2)))
    sink(message(event(3)))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["1", "2", "3"]
    assert path.read_bytes().endswith(b"\n")


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """What could not be written whole is taken back, and the error says so; with space again it is all there once."""
    path = tmp_path / "changes.jsonl"
    sink = file.make(path)
    sink(message(event(1)))
    before = path.read_bytes()
    with size_limit(len(before) + 10):
        assert "took only 10 of" in str(refusal(sink, message(event(2))))
    assert path.read_bytes() == before
    with size_limit(len(before)):
        assert "cannot be written: File too large" in str(refusal(sink, message(event(2))))
    assert path.read_bytes() == before
    sink(message(event(2)))
    assert len(path.read_bytes().splitlines()) == 2


@contextmanager
def size_limit(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: a full disk for those who cannot mount one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("left", [1, 20, -2, -1])
def test_the_half_line_of_a_killed_writer_is_taken_back(tmp_path: Path, left: int) -> None:
    """A repeat after `kill -9` in the midst of a write leaves whole lines only, those written before included."""
    path = tmp_path / "changes.jsonl"
    sink = file.make(path)
    sink(message(event(1)))
    with path.open("ab") as half:
        half.write((_JSON.encode(event(2)) + b"\n")[:left])
    sink(message(event(2), event(3)))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["1", "2", "3"]


def test_the_half_line_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A file that ends in text of others is refused and stays as it is."""
    path = tmp_path / "changes.jsonl"
    path.write_text('{"mine": 1}\n{"mine": 2}')
    assert "ends in half a line that is not of this message" in str(refusal(file.make(path)))
    assert path.read_text() == '{"mine": 1}\n{"mine": 2}'


def test_two_writers_never_interleave(tmp_path: Path) -> None:
    """Eight writers of one file leave each message in one piece."""
    path = tmp_path / "changes.jsonl"

    def write(writer: int) -> None:
        for number in range(10):
            file.make(path)(message(*(event(writer * 1000 + number * 10 + i) for i in range(3))))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [int(json.loads(line)["id"]) for line in path.read_text().splitlines()]
    assert len(ids) == 240
    assert all(ids[i : i + 3] == [ids[i], ids[i] + 1, ids[i] + 2] for i in range(0, 240, 3))


def test_a_file_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    """A lock that another process holds costs the deadline and writes nothing."""
    path = tmp_path / "changes.jsonl"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with within(20):
            assert "was locked" in str(refusal(file.make(path, deadline=SHORT)))
    assert path.read_bytes() == b""


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe, a folder, and a missing folder are errors, and nothing waits for a reader of the pipe."""
    os.mkfifo(tmp_path / "pipe")
    with within(20):
        assert "not a regular file" in str(refusal(file.make(tmp_path / "pipe")))
    assert "Is a directory" in str(refusal(file.make(tmp_path)))
    assert "No such file or directory" in str(refusal(file.make(tmp_path / "no" / "where")))


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis; without one the test skips, in CI it fails."""
    if redis_server.PROGRAM is None:
        (pytest.fail if IN_CI else pytest.skip)("no redis-server here: install it (apt-get install redis-server)")
    with RedisServer(tmp_path_factory.mktemp("redis"), password="p4ssword") as running:
        yield running


def stream(server: RedisServer, path: str, **options: Any) -> Sink:
    """A sink for a stream of that server."""
    return redis.make(Secret(f"redis://{server.authority}{path}"), **options)


def entries(server: RedisServer, name: str, database: int = 0) -> list[dict[str, str]]:
    """The fields of all entries of a stream."""
    with server.client(database) as client:
        return [fields for _, fields in client.xrange(name)]


@pytest.mark.parametrize(("path", "database"), [("/first", 0), ("/3/first", 3)])
def test_a_stream_gets_an_entry_an_event(server: RedisServer, path: str, database: int) -> None:
    """Each event is one entry with its id and its JSON as in the body; a repeat brings the same ids again."""
    sent = message()
    sink = stream(server, path)
    sink(sent)
    sink(sent)
    found = entries(server, "first", database)
    assert [fields["id"] for fields in found] == ["1", "2", "1", "2"]
    assert f"[{found[0]['event']},{found[1]['event']}]".encode() == sent.body


def test_a_stream_takes_all_of_a_message_or_nothing(server: RedisServer) -> None:
    """A Redis without memory for it takes no part of a message, and says why."""
    with server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            error = refusal(stream(server, "/full"))
        finally:
            client.config_set("maxmemory", "0")
    assert "maxmemory" in str(error)
    assert entries(server, "full") == []


def test_a_connection_that_breaks_within_a_message_leaves_nothing_of_it(server: RedisServer) -> None:
    """Redis hangs up on the second event, which is larger than it allows: the first one is not in the stream either."""
    with server.client() as client:
        usual = client.config_get("proto-max-bulk-len")["proto-max-bulk-len"]
        client.config_set("proto-max-bulk-len", "1048576")
        try:
            refusal(stream(server, "/half"), message(event(1), event(2, description="x" * 2**21)))
        finally:
            client.config_set("proto-max-bulk-len", usual)
    assert entries(server, "half") == []


def test_a_key_that_is_no_stream_is_an_error(server: RedisServer) -> None:
    """Law 12: what Redis refuses is said in a sentence, bounded and printable."""
    with server.client() as client:
        client.set("taken", "x")
    error = str(refusal(stream(server, "/taken"), message(event(1, name="\x1b[2J" + "x" * 500))))
    assert "WRONGTYPE" in error
    assert error.isprintable()
    assert len(error) < 400


def test_a_wrong_password_is_not_shown(server: RedisServer) -> None:
    """Law 11: a Redis that refuses the password is an error without it."""
    sink = redis.make(Secret(f"redis://:wr0ng-p4ssword@127.0.0.1:{server.port}/x"))
    error = str(refusal(sink))
    assert "wr0ng" not in error
    assert "password" in error.lower()


@pytest.mark.faults
@pytest.mark.parametrize("again", [None, 0.05], ids=["silent", "dripping"])
def test_a_redis_that_does_not_answer_costs_one_deadline(again: float | None) -> None:
    """A server that takes the connection and never ends its answer costs the deadline and no thread."""
    with answering(b"x" if again else b"", again=again or 60) as port, within(20):
        assert "did not answer" in str(refusal(redis.make(Secret(f"redis://127.0.0.1:{port}/x"), deadline=SHORT)))


def test_a_redis_that_is_down_is_one_error() -> None:
    """A port that nobody listens on is an error that says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "Connection refused" in str(refusal(redis.make(Secret(f"redis://127.0.0.1:{port}/x"))))


# --- chat ------------------------------------------------------------------------------------------------------------


def test_a_chat_message_begins_with_counts_and_what_matters_most() -> None:
    """Counts first, then notices, removals and the largest moves; the same in text and Markdown."""
    told = chat.render(
        [
            event(8, "updated", "a/u", changed={"description": ["x", "y"]}),
            event(9, "added", "a/new", new=Decimal("1.50")),
            event(10, name="a/small", percent=Decimal("1.26"), unit=[1000000, "token"], currency="USD"),
            event(11, name="a/big", percent=Decimal(-80)),
            event(12, "removed", "a/gone"),
            notice(13, "failed", error="status 500", http_status=500),
        ]
    )
    assert told.title == "syncer: 1 failed, 1 removed, 2 repriced, 1 added, 1 updated"
    assert told.text.splitlines() == [
        "1 failed, 1 removed, 2 repriced, 1 added, 1 updated",
        "",
        "failed main status 500",
        "removed a/gone (was 0.5)",
        "repriced a/big price 0.5 -> 0.4 (-80 %)",
        "repriced a/small price 0.5 -> 0.4 USD per 1M tokens (+1.3 %)",
        "added a/new 1.5",
        "updated a/u description x -> y",
    ]
    assert told.markdown.splitlines()[:4] == [
        "**1 failed, 1 removed, 2 repriced, 1 added, 1 updated**",
        "",
        "- failed `main` `status 500`",
        "- removed `a/gone` `(was 0.5)`",
    ]


def test_each_kind_of_notice_says_what_matters() -> None:
    """A notice is told with why it failed or is held, since when it is stale, how it was settled."""
    told = chat.render(
        [
            notice(1, "stale", reason="late", last_observed_at="2026-11-22T09:00:00Z", interval_seconds=3600),
            notice(2, "held", finding="removals", why="40 of 50 models are missing", count=40, models=["a"]),
            notice(3, "unreadable", count=1, models=["a/b"], fields={"a/b": ["prices"]}),
            notice(4, "expiring", count=1, models={"a/b": "2026-12-01T00:00:00Z"}),
            notice(5, "missing", model="a/c", last_seen_at="2026-11-22T09:00:00Z"),
            notice(6, "settled", finding="removals", state="withdrawn", count=1, models=["a"]),
            notice(7, "recovered", **{"from": "late"}),
        ]
    )
    assert told.text.splitlines()[2:] == [
        "stale main late: not observed since 2026-11-22T09:00:00Z",
        "held main 40 of 50 models are missing",
        "unreadable main cannot be read (1 model: a/b)",
        "expiring main ends soon (1 model: a/b on 2026-12-01)",
        "missing a/c missing (last listed: 2026-11-22T09:00:00Z), not removed yet",
        "settled main removals withdrawn (1 model: a)",
        "recovered main well again (was late)",
    ]


def test_what_does_not_fit_is_counted_with_the_command_that_shows_it() -> None:
    """Of many events ten are told, and the command shows all of this message's."""
    told = chat.render([event(number, name=f"a/{number}") for number in range(120, 167)])
    assert told.text.endswith("\nand 37 more: syncer changes --notices --after 119")
    assert told.markdown.endswith("\n\nand 37 more: `syncer changes --notices --after 119`")
    assert told.text.count("repriced a/") == 10


def test_several_sources_are_told_apart() -> None:
    """Where a message speaks of two sources, each line names its own."""
    told = chat.render([event(1), event(2, source="spare")])
    assert [line.rpartition(" ")[2] for line in told.text.splitlines()[2:]] == ["[main]", "[spare]"]


def test_a_sample_is_marked() -> None:
    """A test message says in title and text that nothing has happened."""
    told = chat.render([event(1)], is_test=True)
    assert told.title.startswith("[TEST] ")
    assert all("nothing has happened" in part for part in (told.text, told.markdown))


@pytest.mark.parametrize(
    ("old", "new", "percent", "said"),
    [
        (None, Decimal(1), None, "unknown -> 1"),
        (Decimal(1), None, None, "1 -> unknown"),
        (0, 5, None, "0 -> 5"),
        (Decimal("1E+2"), Decimal("1E-18"), Decimal(-100), "100 -> 0.000000000000000001 (-100 %)"),
        (Decimal("1E-18"), Decimal("9E+14"), Decimal("9E+34"), "(+90000000000000000000000000000000000 %)"),
    ],
)
def test_extreme_prices_are_told(old: Any, new: Any, percent: Decimal | None, said: str) -> None:
    """Law 4: unknown, 0 and the longest numbers there are stand in a line as they are."""
    assert said in chat.render([event(1, old=old, new=new, percent=percent)]).text


HOSTILE = "<!channel> @everyone <img src=x onerror=alert(1)> `*b*` [x](http://evil)\x1b[2J\r\n\u202e# y"


def test_a_hostile_name_formats_and_mentions_nothing() -> None:
    """Law 12: no name mentions, tags, breaks a line or ends the code it is quoted in."""
    told = chat.render([event(1, name=HOSTILE), notice(2, "failed", error=HOSTILE)])
    for part in (told.title, told.text, told.markdown):
        assert not set("<@\x1b\r\u202e") & set(part)
    lines = told.markdown.splitlines()
    assert len(lines) == 4
    assert all(line.count("`") == 4 for line in lines[2:])


def test_a_chat_message_is_short_whatever_it_tells() -> None:
    """A hundred events with the longest names fit what the strictest chat takes."""
    told = chat.render([event(number, name="x" * 255, unit=[1000, "y" * 500]) for number in range(1, 101)])
    assert max(len(told.text), len(told.markdown)) < 2000
    assert "more: syncer changes" in told.text


def templated(folder: Path, text: str) -> chat.Template:
    """A template with this text."""
    path = folder / "chat.jinja"
    path.write_text(text)
    return chat.compile_template(path)


def test_slack_is_told_in_its_own_markup() -> None:
    """`format = "slack"` is Slack's strong, its bullets, and names in code, handed over as it is."""
    told = chat.render([event(1), notice(2, "failed", error=HOSTILE)], in_slack=True)
    assert told.as_is
    assert told.text == told.markdown
    assert told.text.splitlines()[0] == "*1 failed, 1 repriced*"
    assert told.text.splitlines()[3] == "• repriced `acme/large` `price 0.5 -> 0.4 (-20 %)`"
    assert not set("<@\x1b\r\u202e") & set(told.text)


def test_a_template_says_it_in_other_words(tmp_path: Path) -> None:
    """A Jinja file sees the counts, the lines, and the events with their exact prices."""
    template = templated(
        tmp_path,
        "{{ head }}\n{% for line in lines %}\n{{ line.kind }}: {{ line.name }} {{ line.rest }}\n{% endfor %}"
        "{% for event in events %}\n{{ event.data.prices.price.new }}\n{% endfor %}{{ more }}",
    )
    told = chat.render([event(1), event(2, "removed")], template=template)
    assert told.text == (
        "1 removed, 1 repriced\nremoved: acme/large (was 0.5)\nrepriced: acme/large price 0.5 -> 0.4 (-20 %)\n"
        "0.40\n0.40\n0"
    )


@pytest.mark.parametrize("where", ["{{ lines[0].name }}", "{{ events[0].subject }}", "{{ events[0].data.model }}"])
def test_a_hostile_name_does_nothing_in_a_template(tmp_path: Path, where: str) -> None:
    """Law 12: outside of code, too, a name has no mention, tag, markup or link of its own, and is never a template."""
    name = HOSTILE + " {{ 7 * 7 }} {% raw %} _x_ ~~s~~ ||spoiler|| a_b"
    told = chat.render([event(1, name=name)], template=templated(tmp_path, where)).text
    assert not set("<>@`*[]~|\x1b\r\n\u202e") & set(told)
    assert "49" not in told
    assert " _x_ " not in told
    unseen = chat.render([event(1, name="a_b")], template=templated(tmp_path, where)).text
    assert unseen == "a_b"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ nothing.here }}", "'nothing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ lines.append(1) }}", "unsafe"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for n in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("  ", "gave no text"),
    ],
)
def test_a_template_that_fails_is_a_refusal(receiver: Receiver, tmp_path: Path, text: str, why: str) -> None:
    """What a template does wrong is said, nothing is sent, and it reaches nothing of the program."""
    error = str(refusal(apprise(receiver, template=templated(tmp_path, text))))
    assert "its template chat.jinja" in error
    assert why in error
    assert receiver.requests == []


def test_a_file_that_is_no_template_is_a_sentence(tmp_path: Path) -> None:
    """A file that is missing, no text or no template is a mistake of the settings, with the line."""
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "broken").write_text("a\n{% if %}")
    for name, why in [("none", "No such file"), ("binary", "not UTF-8"), ("broken", "line 2")]:
        with pytest.raises(SettingsError, match=why):
            chat.compile_template(tmp_path / name)


def test_what_is_written_for_a_chat_is_handed_over_as_it_is(receiver: Receiver, tmp_path: Path) -> None:
    """A format of one's own is not converted on its way; a template for text is, where the service wants HTML."""
    sent = message(event(1))
    apprise(receiver, "?format=markdown", in_slack=True)(sent)
    apprise(receiver, "?format=html", template=templated(tmp_path, "a & b {{ lines[0].name }}"))(sent)
    slack, html = (json.loads(request.body)["message"] for request in receiver.requests)
    assert slack == chat.render(sent.events, in_slack=True).text
    assert "a &amp; b acme/large" in html


def apprise(where: Receiver, query: str = "", **options: Any) -> Sink:
    """A chat that is really an HTTP endpoint: Apprise's json:// service."""
    return chat.make(Secret(where.url.replace("http://", "json://") + query), os.environ, **options)


def test_apprise_hands_over_the_text(receiver: Receiver) -> None:
    """A target for text gets the text, through the real library."""
    sent = message()
    apprise(receiver)(sent)
    got = json.loads(receiver.request.body)
    told = chat.render(sent.events)
    assert (got["title"], got["message"]) == (told.title, told.text)


def test_a_hostile_name_is_no_html_in_a_mail(receiver: Receiver) -> None:
    """Law 12: a target for HTML gets the Markdown converted, and a name in it stays text."""
    apprise(receiver, "?format=html")(message(event(1, name=HOSTILE)))
    html = json.loads(receiver.request.body)["message"]
    assert "<strong>1 repriced</strong>" in html
    assert "<img" not in html
    assert "<a " not in html


@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(status=404), Reply(status=302, headers={"Location": "/elsewhere"})]
)
def test_a_chat_that_refuses_is_an_error(receiver: Receiver, reply: Reply) -> None:
    """Law 11: Apprise's no is a refusal without the URL; a redirect is one too, and is not followed."""
    receiver.reply(reply, Reply(status=200))
    assert "the chat of 'team' was not told" in str(refusal(apprise(receiver)))
    assert {request.path for request in receiver.requests} == {"/hooks/t0ken-in-the-path"}


@pytest.mark.faults
@pytest.mark.parametrize("reply", [Reply(hang=True), Endless()], ids=["silence", "endless"])
def test_a_slow_chat_costs_one_deadline(receiver: Receiver, reply: Reply) -> None:
    """A chat that never answers, or for ever, costs the deadline and none of our memory."""
    receiver.reply(reply)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(20):
        refusal(apprise(receiver, deadline=timedelta(seconds=3)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_an_url_that_apprise_does_not_know_is_an_error() -> None:
    """Law 11: an unknown service is said without its URL."""
    error = refusal(chat.make(Secret("nosuchservice://t0ken/x"), os.environ))
    assert "Apprise does not understand its URL" in str(error)


def test_the_url_is_on_no_command_line(receiver: Receiver) -> None:
    """Law 11: while Apprise runs, the process list shows neither URL nor token."""
    seen: list[str] = []

    def poll() -> None:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(process.read_text("utf-8", "replace"))
            except OSError:
                continue

    receiver.reply(Reply(on_request=poll))
    apprise(receiver)(message())
    assert any(Path(apprise_child.__file__).name in line for line in seen)
    assert not any("t0ken" in line for line in seen)


# --- which one -------------------------------------------------------------------------------------------------------


def test_each_alert_has_its_sink(receiver: Receiver, server: RedisServer, tmp_path: Path) -> None:
    """`sink_for` takes an alert as configured, with what its variables hold, to where its events then arrive."""
    environ = {
        "HOOK": receiver.url,
        "SECRET": NEW,
        "CHAT": receiver.url.replace("http://", "json://"),
        "STREAM": f"redis://{server.authority}/chosen",
    }
    alerts = [
        AlertSettings(name="a", to=webhook.Webhook(url_env="HOOK", secret_env="SECRET")),
        AlertSettings(name="b", to=chat.Chat(apprise_env="CHAT")),
        AlertSettings(name="c", to=redis.RedisStream(redis_env="STREAM")),
        AlertSettings(name="d", to=file.File(file=str(tmp_path / "file"))),
        AlertSettings(name="e", to=command.Command(command=("cp", "/dev/stdin", str(tmp_path / "command")))),
    ]
    for alert in alerts:
        sink_for(alert, environ, clock=now)(message())
    assert [json.loads(request.body) for request in receiver.requests[:2]] == json.loads(message().body)
    assert json.loads(receiver.requests[2].body)["title"] == "syncer: 1 removed, 1 repriced"
    assert len(entries(server, "chosen")) == 2
    assert (tmp_path / "file").read_bytes() == (tmp_path / "command").read_bytes()


def test_a_command_gets_the_usual_variables_and_those_it_names(tmp_path: Path) -> None:
    """Law 11: a program gets a few usual variables and those of its `env`, and nothing else, whatever it is called."""
    usual = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}
    named = {"SYNCER_DATABASE_URL": "sqlite:///a.db", "https_proxy": "http://proxy"}
    other = {"SYNCER_API_KEY": "ak", "AWS_SECRET_ACCESS_KEY": "t0ken", "HOOK": "https://hook.example/t0ken", "LC_": "x"}
    argv = ("sh", "-c", f"env > '{tmp_path / 'env'}'")
    for env, given in [((), usual), (tuple(named), usual | named)]:
        job = AlertSettings(name="job", to=command.Command(command=argv, env=env))
        sink_for(job, usual | named | other, clock=now)(message())
        found = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
        assert given.items() <= found.items()
        assert found.keys() - given.keys() <= {"PWD", "SHLVL", "_", "OLDPWD"}, "the shell's own"


def test_a_missing_extra_is_a_sentence() -> None:
    """Without redis-py or Apprise installed, the error is the command that installs them."""
    for alert, extra in [
        (AlertSettings(name="a", to=redis.RedisStream(redis=Secret("redis://h/x"))), "redis"),
        (AlertSettings(name="a", to=chat.Chat(apprise=Secret("json://h/x"))), "apprise"),
    ]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, extra, None)
            with pytest.raises(SettingsError, match=rf"pip install '\.\[{extra}\]'"):
                sink_for(alert, {}, clock=now)
