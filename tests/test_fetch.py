"""Fetching, against a real server that misbehaves: what comes back, what is tried again, and what never leaks."""

import base64
import gzip
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer import __version__
from syncer.errors import BadResponse, FetchError, SettingsError, UpstreamError
from syncer.fetch import Limits, Request, Response, catalog_url, fetch, public_url
from tests.upstream import Reply, Upstream, catalog_body, etag_of, model

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "ak_0123456789abcdefSECRET"
ENDPOINT = "/serverless/models"
QUICK = Limits(connect=1.0, read=0.3, deadline=5.0, max_body=1024 * 1024, attempts=4, backoff=0.02)
BODY = catalog_body([model("a/one", Decimal("0.20"))])
GOOD = Reply(body=BODY, headers={"Content-Type": "application/json", "ETag": '"v1"'})


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as server:
        yield server


def get(where: Upstream | str, *, limits: Limits = QUICK, **asked: Any) -> Response:
    """One fetch of the catalog there, with a key and small limits; `asked` are fields of the request."""
    base = where if isinstance(where, str) else where.url
    request = Request(url=catalog_url(base, ENDPOINT), **{"key": KEY} | asked)
    return fetch(request, clock=lambda: NOW, limits=limits)


def failure(where: Upstream | str, **options: Any) -> FetchError:
    """The FetchError that a fetch ends in; the key is in none (law 11)."""
    with pytest.raises(UpstreamError) as caught:
        get(where, **options)
    assert KEY not in str(caught.value)
    assert type(caught.value) is FetchError
    return caught.value


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, or leaves a fetch thread behind."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds
    assert not [thread for thread in threading.enumerate() if thread.name == "syncer-fetch"]


# --- a good answer ---------------------------------------------------------------------------------------------------


def test_fetch_brings_the_body_and_says_who_asks(upstream: Upstream) -> None:
    """A 200 is returned as it came, and the request carries the token, the version and nothing unexpected."""
    upstream.reply(GOOD)
    assert get(upstream) == Response(status=200, bodies=(BODY,), etag='"v1"', received_at=NOW)
    (request,) = upstream.requests
    assert (request.method, request.path) == ("GET", "/api/v1/serverless/models")
    assert request.headers == {
        "host": f"127.0.0.1:{upstream.port}",
        "accept": "application/json",
        "accept-encoding": "gzip",
        "connection": "keep-alive",
        "user-agent": f"syncer/{__version__}",
        "authorization": f"Bearer {KEY}",
    }


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_no_token_is_sent(upstream: Upstream, key: str | None) -> None:
    """A source without a key is asked without an Authorization header."""
    upstream.reply(GOOD)
    get(upstream, key=key)
    assert "authorization" not in upstream.requests[0].headers


def test_netrc_is_not_read(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 11: a password of a netrc file travels to nobody."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\ndefault login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc.read_text())
    upstream.reply(GOOD)
    get(upstream, key=None)
    assert "authorization" not in upstream.requests[0].headers


def test_etag_makes_the_next_observation_conditional(upstream: Upstream) -> None:
    """The ETag of one answer, sent with the next question, brings a 304 with an empty body and the same ETag."""
    upstream.serve(BODY)
    first = get(upstream)
    second = get(upstream, etag=first.etag)
    assert first.etag == etag_of(BODY)
    assert second == Response(status=304, bodies=(), etag=first.etag, received_at=NOW)
    assert upstream.requests[1].headers["if-none-match"] == first.etag


@pytest.mark.parametrize("etag", ["caf\u00e9", '"a\r\nX: y"', "x" * 5000])
def test_an_etag_that_is_no_header_is_not_sent(upstream: Upstream, etag: str) -> None:
    """A stored ETag that no header can carry costs the shortcut and nothing else."""
    upstream.reply(GOOD)
    assert get(upstream, etag=etag).status == 200
    assert "if-none-match" not in upstream.requests[0].headers


def test_an_unasked_304_is_an_error(upstream: Upstream) -> None:
    """A 304 to a question without an ETag is no 'unchanged': nobody said what has not changed."""
    upstream.reply(Reply(status=304))
    error = failure(upstream)
    assert (error.http_status, len(upstream.requests)) == (304, 1)


def test_gzip_is_decoded_in_several_members(upstream: Upstream) -> None:
    """A gzip body, of one member or several and larger than one piece, arrives whole."""
    body = BODY + b" " * 700_000
    packed = gzip.compress(body[:600_000]) + gzip.compress(body[600_000:])
    upstream.reply(Reply(body=packed, headers={"Content-Encoding": "gzip"}))
    assert get(upstream).body == body


@pytest.mark.parametrize("size", [QUICK.max_body - 1, QUICK.max_body])
def test_a_body_of_the_limit_passes(upstream: Upstream, size: int) -> None:
    """A body of just the allowed size is no error."""
    upstream.reply(Reply(body=b"x" * size))
    assert len(get(upstream).body) == size


# --- too large -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_over_the_limit_is_refused_at_once(upstream: Upstream, packed: bool) -> None:
    """One byte over the limit on decoded bytes ends the fetch, without another attempt."""
    body = b"x" * (QUICK.max_body + 1)
    reply = Reply(body=gzip.compress(body), headers={"Content-Encoding": "gzip"}) if packed else Reply(body=body)
    upstream.reply(reply)
    error = failure(upstream)
    assert "larger than 1048576 bytes" in str(error)
    assert (error.http_status, len(upstream.requests)) == (200, 1)


@pytest.mark.faults
def test_a_gzip_bomb_stops_at_the_limit(upstream: Upstream) -> None:
    """Ten gigabytes of packed zeros cost little time and memory."""
    upstream.reply(Reply(gzip_bomb=10 * 1024**3))
    tracemalloc.start()
    try:
        with within(3):
            assert "larger than" in str(failure(upstream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 1024 * 1024
    assert len(upstream.requests) == 1


def test_one_read_of_packed_zeros_is_unpacked_in_steps(upstream: Upstream) -> None:
    """The few bytes that would unpack to 60 MB never do so at once."""
    body = gzip.compress(bytes(60 * 1024 * 1024))
    upstream.reply(Reply(body=body, headers={"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        assert "larger than" in str(failure(upstream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 1024 * 1024


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("gzip", BODY, "not the gzip it claims"),
        ("gzip", gzip.compress(BODY) + b"\0\0rest", "not the gzip it claims"),
        ("br", BODY, "packed with Brotli (content encoding 'br'), which cannot be read; only gzip was asked for"),
        ("ZSTD", BODY, "packed with Zstandard (content encoding 'zstd')"),
        ("utf-8, br", BODY, "packed with Brotli"),
        ("deflate, gzip", BODY, "packed with deflate and gzip"),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), "packed with gzip more than once"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_an_error(upstream: Upstream, encoding: str, body: bytes, said: str) -> None:
    """A body in another compression than the one asked for is named in words, and fails without another attempt."""
    upstream.reply(Reply(body=body, headers={"Content-Encoding": encoding}))
    assert said in str(failure(upstream))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "none", "identity", "", "identity, utf-8", "aws-chunked", 'x"y'])
def test_an_encoding_that_compresses_nothing_is_none(upstream: Upstream, encoding: str) -> None:
    """A Content-Encoding that is no compression, as object storage often sends it, leaves the body as it is."""
    upstream.reply(Reply(body=BODY, headers={"Content-Encoding": encoding}))
    assert get(upstream).body == BODY


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip, identity", "aws-chunked,gzip"])
@pytest.mark.parametrize("padding", [0, 1, 511, 700_000])
def test_zeros_behind_gzip_are_padding(upstream: Upstream, encoding: str, padding: int) -> None:
    """Zeros after a gzip member, or between two, are no part of the body, as for gzip itself."""
    packed = gzip.compress(BODY[:50]) + bytes(padding) + gzip.compress(BODY[50:]) + bytes(padding)
    upstream.reply(Reply(body=packed, headers={"Content-Encoding": encoding}))
    assert get(upstream).body == BODY


# --- too slow --------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang=True),
        Reply(body=BODY, drip=0.1, drip_in="head"),
        Reply(body=BODY, drip=0.02, drip_in="body"),
        Reply(body=gzip.compress(BODY), drip=0.02, headers={"Content-Encoding": "gzip"}),
        Reply(status=500, headers={"Retry-After": "0"}, body=b"x" * 500, drip=0.02),
    ],
    ids=["hang", "head", "body", "packed", "refusal"],
)
def test_the_deadline_ends_everything(upstream: Upstream, reply: Reply) -> None:
    """Bytes that come in time one by one do not outlive the deadline over the whole fetch."""
    upstream.reply(reply)
    with within(2):
        assert "deadline of 0.5 s" in str(failure(upstream, limits=Limits(deadline=0.5, read=5, backoff=0.01)))


@pytest.mark.faults
def test_the_deadline_ends_a_tls_handshake() -> None:
    """A server that accepts and never shakes hands is left at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent, within(2):
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        assert "deadline of 0.5 s" in str(failure(url, limits=Limits(deadline=0.5, connect=5)))


@pytest.mark.faults
def test_the_deadline_ends_a_slow_name_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer, which nothing can interrupt, does not hold the fetch."""
    done = threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        done.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    start = time.monotonic()
    assert "deadline of 0.3 s" in str(failure("http://catalog.invalid", limits=Limits(deadline=0.3)))
    assert time.monotonic() - start < 1.5
    done.set()
    for thread in threading.enumerate():
        if thread.name == "syncer-fetch":
            thread.join(5)


def test_a_plain_refusal_counts_even_if_its_body_hangs(upstream: Upstream) -> None:
    """A 404 is told as a 404 though the rest of its body never comes."""
    upstream.reply(Reply(status=404, body=b"x" * 500, drip=0.1))
    error = failure(upstream, limits=Limits(deadline=0.5))
    assert (error.http_status, "check the base URL" in str(error)) == (404, True)


# --- tried again -----------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_three_failures_and_a_good_answer_are_a_success(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """500 three times, then well: the fetch succeeds, and each retry is a warning without a secret."""
    upstream.reply(*[Reply(status=500, body=f"no {KEY}".encode())] * 3, GOOD)
    with caplog.at_level(logging.DEBUG):
        assert get(upstream).body == BODY
    warnings = [record for record in caplog.records if record.name == "syncer.fetch"]
    assert [record.levelno for record in warnings] == [logging.WARNING] * 3
    assert KEY not in caplog.text
    assert "no ***" in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_to_the_end(upstream: Upstream, status: int) -> None:
    """These statuses are asked again as often as the limits allow, and the last one is told."""
    upstream.reply(Reply(status=status))
    error = failure(upstream)
    assert (error.http_status, len(upstream.requests)) == (status, QUICK.attempts)
    assert "given up after 4 attempts" in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 201, 204, 304, 300])
def test_a_plain_refusal_is_not_tried_again(upstream: Upstream, status: int) -> None:
    """Any other status than 200 ends the fetch at once."""
    upstream.reply(Reply(status=status), GOOD)
    error = failure(upstream)
    assert (error.http_status, len(upstream.requests)) == (status, 1)


@pytest.mark.faults
@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=BODY, close_after=20),
        Reply(body=BODY, content_length=len(BODY) + 1),
        Reply(body=gzip.compress(BODY)[:-9], headers={"Content-Encoding": "gzip"}),
        Reply(hang=True),
        Reply(body=BODY, headers={"Content-Length ": "nonsense"}),
    ],
    ids=["closed midway", "says more", "gzip cut", "silent", "no HTTP"],
)
def test_a_broken_answer_is_tried_again(upstream: Upstream, reply: Reply) -> None:
    """A connection that ends or stalls before the answer is whole is followed by another attempt."""
    upstream.reply(reply, GOOD)
    assert get(upstream).body == BODY
    assert len(upstream.requests) == 2


@pytest.mark.faults
def test_a_length_that_is_too_small_gives_just_that_much(upstream: Upstream) -> None:
    """What follows the stated length is never read as part of the body: what is left is for the parser to refuse."""
    upstream.reply(Reply(body=BODY, content_length=20))
    assert get(upstream).body == BODY[:20]


@pytest.mark.parametrize(
    "header", ["1", format(NOW + timedelta(seconds=1), "%a, %d %b %Y %H:%M:%S GMT")], ids=["seconds", "date"]
)
def test_retry_after_is_waited_for(upstream: Upstream, header: str) -> None:
    """A Retry-After of seconds, or a date by our clock, is honoured to the full."""
    upstream.reply(Reply(status=429, headers={"Retry-After": header}), GOOD)
    assert get(upstream).status == 200
    first, second = upstream.requests
    assert 1.0 <= second.at - first.at < 1.6


@pytest.mark.parametrize(
    ("header", "when"),
    [
        ("3600", "2026-11-22T13:00:00Z"),
        ("Mon, 23 Nov 2026 00:00:00 GMT", "2026-11-23T00:00:00Z"),
        ("9" * 5000, "2058-07-31T13:46:40Z"),
        ("Fri, 31 Dec 9999 23:59:59 -0900", "2058-07-31T13:46:40Z"),
    ],
    ids=["seconds", "date", "absurd seconds", "absurd date"],
)
def test_retry_after_beyond_the_deadline_stops_and_says_when(upstream: Upstream, header: str, when: str) -> None:
    """Who asks to be left alone for longer than the deadline is not called again, and the error says until when."""
    upstream.reply(Reply(status=429, headers={"Retry-After": header}))
    with within(1):
        error = failure(upstream)
    assert f"not to be called before {when}" in str(error)
    assert (error.http_status, len(upstream.requests)) == (429, 1)


@pytest.mark.parametrize(
    "header",
    ["soon", "-5", "1.5", "\u0664", "Sun, 01 Jan 2006 00:00:00 GMT", "Sun, 01 Jan 99999999999999999999 00:00:00 GMT"],
)
def test_a_retry_after_that_says_nothing_is_ignored(upstream: Upstream, header: str) -> None:
    """An unreadable or past Retry-After leaves the ordinary backoff."""
    upstream.reply(Reply(status=503, headers={"Retry-After": header}), GOOD)
    with within(1):
        assert get(upstream).status == 200


# --- what a refusal says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "key", "advice"),
    [
        (401, KEY, "the key was refused, or has expired (some login tokens live for two hours); check SYNCER_API_KEY"),
        (403, KEY, "the key was refused, or has expired (some login tokens live for two hours); check SYNCER_API_KEY"),
        (401, None, "no key was sent; set SYNCER_API_KEY"),
        (404, KEY, "/api/v1/serverless/models; check the base URL"),
    ],
)
def test_a_refusal_says_what_to_check(upstream: Upstream, status: int, key: str | None, advice: str) -> None:
    """The error names the URL, the status and the setting to look at."""
    upstream.reply(Reply(status=status))
    error = failure(upstream, key=key)
    assert advice in str(error)
    assert f"{upstream.url}/serverless/models answered with status {status}" in str(error)


def test_an_echoed_key_is_masked(upstream: Upstream) -> None:
    """Law 11: an upstream that echoes the key does not make us show it."""
    upstream.reply(Reply(status=400, body=f"bad token {KEY}, I said {KEY}".encode()))
    assert "bad token ***, I said ***" in str(failure(upstream))


@pytest.mark.parametrize(
    "echo",
    [
        KEY.upper(),
        KEY.lower(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"x:{KEY}".encode()).decode(),
        base64.b64encode(KEY.encode()).decode(),
        f"{KEY[:12]}...",
    ],
    ids=["upper", "lower", "packed after 7", "packed after 2", "packed", "shortened"],
)
def test_a_key_is_known_in_disguise(upstream: Upstream, echo: str) -> None:
    """Law 11: a key that upstream repeats in another case, in base64 or shortened is not shown."""
    upstream.reply(Reply(status=400, body=f"bad token {echo} !".encode()))
    text = str(failure(upstream))
    assert KEY[:8].lower() not in text.lower()
    assert base64.b64encode(KEY[:9].encode()).decode() not in text
    assert "bad token" in text
    assert "***" in text


@pytest.mark.parametrize("size", [60, 4090, 5000])
def test_half_a_key_is_not_shown(upstream: Upstream, size: int) -> None:
    """Law 11: where an error body ends, or is cut by us, in the midst of a key, the half is not shown either."""
    key = "k" + "0123456789" * 15
    upstream.reply(Reply(status=400, body=(key * 50)[:size].encode()))
    assert "01" not in str(failure(upstream, key=key)).partition("it says")[2]


def test_a_key_in_a_redirect_is_not_logged(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: an upstream that puts the key into the path of a redirect brings it into no log line and no error."""
    moved = Reply(status=302, headers={"Location": f"/{KEY}"})
    upstream.reply(moved, Reply(status=500), moved, Reply(status=404))
    assert "/***" in str(failure(upstream))
    assert "/***" in caplog.text
    assert KEY not in caplog.text


def test_hostile_error_bodies_are_escaped_and_bounded(upstream: Upstream) -> None:
    """Law 12: control, bidirectional and undecodable bytes of an error body are shown as escapes, and not for long."""
    body = b"\x1b[2J\x00\r\n" + "\u202e".encode() + b"\xff" + b"y" * 5_000_000
    upstream.reply(Reply(status=400, body=body))
    text = str(failure(upstream))
    assert text.isprintable()
    assert "\\x1b[2J\\x00\\r\\n\\u202e" in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (Reply(status=404, gzip_bomb=10 * 1024**3), 0.9),
        (Reply(status=404, body=gzip.compress(b"z" * 50_000_000), headers={"Content-Encoding": "gzip"}), 0.9),
        (Reply(status=404, body=b"z" * 500, drip=0.1), 2),
    ],
    ids=["bomb", "packed", "dripped"],
)
def test_an_error_body_is_read_for_an_excerpt_only(upstream: Upstream, reply: Reply, seconds: float) -> None:
    """What a refusal says costs little time and memory, whatever it would unpack to."""
    upstream.reply(reply)
    with within(seconds):
        assert failure(upstream).http_status == 404


@pytest.mark.parametrize("packed", [b"no gzip", b""])
def test_an_error_body_that_cannot_be_read_is_left_out(upstream: Upstream, packed: bytes) -> None:
    """The status is told even where its body is broken."""
    upstream.reply(Reply(status=404, body=packed, headers={"Content-Encoding": "gzip"}))
    assert failure(upstream).http_status == 404


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_origin_is_followed(upstream: Upstream, status: int) -> None:
    """A redirect to the same scheme, host and port keeps the token and the condition."""
    upstream.reply(Reply(status=status, headers={"Location": "/new/place?x=1"}), GOOD)
    assert get(upstream, etag='"v0"').body == BODY
    assert upstream.requests[1].path == "/new/place?x=1"
    assert upstream.requests[1].headers["authorization"] == f"Bearer {KEY}"
    assert upstream.requests[1].headers["if-none-match"] == '"v0"'


@pytest.mark.parametrize("place", ["{origin}/api", "//127.0.0.1:{port}/", "http://127.0.0.1:{port}?token=" + KEY])
def test_the_token_never_travels_to_another_origin(upstream: Upstream, place: str) -> None:
    """Law 11: a redirect elsewhere is an error that names both origins, and the other one gets no request at all."""
    with Upstream() as elsewhere:
        elsewhere.reply(GOOD)
        location = place.format(origin=elsewhere.origin, port=elsewhere.port)
        upstream.reply(Reply(status=302, headers={"Location": location}))
        error = failure(upstream)
        assert elsewhere.requests == []
    assert f"from {upstream.origin} to {elsewhere.origin}." in str(error)
    assert (error.http_status, len(upstream.requests)) == (302, 1)


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://me:hush@127.0.0.1:{port}/",
        "ftp://x/",
    ],
    ids=["scheme", "host", "userinfo", "no http"],
)
def test_a_redirect_is_followed_to_nothing_but_the_same_origin(upstream: Upstream, location: str) -> None:
    """Another scheme or name for the same machine is another origin, and userinfo is refused."""
    upstream.reply(Reply(status=302, headers={"Location": location.format(port=upstream.port)}), GOOD)
    error = failure(upstream)
    assert len(upstream.requests) == 1
    assert "hush" not in str(error)


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://127.0.0.1:99999/", "http://\x01/", "http://" + "x" * 70000]
)
def test_a_redirect_to_no_url_is_an_error(upstream: Upstream, location: str) -> None:
    """A Location that cannot be read is an error of ours, not of a library."""
    upstream.reply(Reply(status=302, headers={"Location": location}))
    failure(upstream)


def test_a_circle_of_redirects_ends(upstream: Upstream) -> None:
    """Five redirects are followed, the sixth is an error."""
    away = Reply(status=302, headers={"Location": "/round"})
    upstream.reply(*[away] * 5, GOOD)
    assert get(upstream).status == 200
    upstream.reply(away)
    assert "more than 5 times" in str(failure(upstream))
    assert len(upstream.requests) == 12


# --- no connection ---------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_refused_connection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listening is retried, and then told with the URL."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    error = failure(f"http://127.0.0.1:{port}")
    assert f"cannot connect to http://127.0.0.1:{port}/serverless/models" in str(error)
    assert error.http_status is None
    assert len(caplog.records) == QUICK.attempts - 1


@pytest.mark.faults
@pytest.mark.parametrize("host", ["catalog.invalid", "a" * 70 + ".invalid", "xn--a"])
def test_a_name_without_an_address_is_told(host: str) -> None:
    """A DNS failure, or a name that cannot be looked up at all, is an error of ours."""
    error = failure(f"http://{host}", limits=Limits(attempts=2, backoff=0.01, deadline=8))
    assert host in str(error)


@pytest.mark.faults
def test_https_to_a_plain_port_is_told(upstream: Upstream) -> None:
    """A server that speaks no TLS is told as such, without its port being blamed on DNS."""
    assert "no TLS with https://" in str(failure(upstream.url.replace("http:", "https:")))


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the certificate that a client would have to trust."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-days", "2", "-subj", "/CN=syncer", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@pytest.mark.faults
def test_a_certificate_that_nobody_signed_is_refused_at_once(
    self_signed: tuple[ssl.SSLContext, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """An untrusted certificate ends the fetch before anything is sent, and is not tried again."""
    with Upstream(tls=self_signed[0]) as server:
        server.reply(GOOD)
        assert "certificate that cannot be trusted" in str(failure(server))
        assert server.requests == []
    assert caplog.records == []


@pytest.mark.faults
def test_a_private_authority_and_the_deadline_work_over_tls(
    self_signed: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names who is trusted; the deadline cuts a TLS connection too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[1]))
    with Upstream(tls=self_signed[0]) as server:
        server.reply(GOOD)
        assert get(server).body == BODY
        server.reply(Reply(body=BODY, drip=0.1, drip_in="head"))
        with within(2):
            assert "deadline of 0.5 s" in str(failure(server, limits=Limits(deadline=0.5)))


def test_a_ca_bundle_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong SSL_CERT_FILE is named in the error."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    assert "SSL_CERT_FILE" in str(failure("https://127.0.0.1:1"))


# --- proxies ---------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY takes the request, NO_PROXY spares a host from it."""
    with Upstream() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        proxy.reply(GOOD)
        assert get("http://catalog.invalid/v1").body == BODY
        assert proxy.requests[0].path == "http://catalog.invalid/v1/serverless/models"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        upstream.reply(GOOD)
        get(upstream)
        assert (len(proxy.requests), len(upstream.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://me:hush@127.0.0.1:1", "names socks5://127.0.0.1:1, a SOCKS proxy, which syncer cannot use"),
        ("gopher://me:hush@x", "names gopher://x, which is not the URL of an HTTP proxy"),
        ("http://me:hush@[::1", "no URL of a proxy that can be read"),
        ("http://me:12/hush@proxy", "no URL of a proxy that can be read"),
        ("http://me:12#hush@proxy", "no URL of a proxy that can be read"),
        ("me:hu\tsh@proxy:1", "no URL of a proxy that can be read"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str, said: str
) -> None:
    """Law 11: a proxy setting that cannot be used is an error that names the variable and what is wrong."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    text = str(failure("http://catalog.invalid"))
    assert f"ALL_PROXY {said}" in text or f"ALL_PROXY holds {said}" in text
    for piece in ("hush", "hu\\tsh", "me:"):
        assert piece not in text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_and_not_the_provider(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Nobody listens where the proxy should: the error names it without its password, and the variable to correct."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:hush@127.0.0.1:{port}")
    text = str(failure(f"{scheme}://catalog.invalid"))
    assert text.startswith(
        f"cannot connect to the proxy http://127.0.0.1:{port} on the way to {scheme}://catalog.invalid/serverless/models"
        f": [Errno 111] Connection refused; correct {scheme.upper()}_PROXY, or exclude the host with NO_PROXY"
    )
    assert "hush" not in text


@pytest.mark.parametrize(
    ("status", "scheme", "said"),
    [
        (407, "http", "answered with status 407: write its user and password into HTTP_PROXY"),
        (407, "https", "407 Proxy Authentication Required; write its user and password into HTTPS_PROXY"),
        (403, "https", "403 Forbidden; correct HTTPS_PROXY, or exclude the host with NO_PROXY"),
        (502, "https", "502 Bad Gateway; correct HTTPS_PROXY, or exclude the host with NO_PROXY; given up after 4"),
        (502, "http", "of HTTP_PROXY) answered with status 502"),
    ],
)
def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch, status: int, scheme: str, said: str) -> None:
    """What a proxy says against us is told as the proxy's; what may pass is tried again."""
    with Upstream() as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.origin.replace("://", "://me:hush@"))
        proxy.reply(Reply(status=status))
        text = str(failure(f"{scheme}://catalog.invalid"))
        assert len(proxy.requests) == (4 if status == 502 else 1)
    assert f"the proxy {proxy.origin}" in text
    assert said in text
    assert base64.b64encode(b"me:hush").decode() not in text
    assert "hush" not in text


def test_a_proxy_that_speaks_no_tls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """https:// before a proxy that speaks plain HTTP is told as the mistake that it is."""
    with Upstream() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin.replace("http:", "https:"))
        text = str(failure("http://catalog.invalid"))
    assert "no TLS with the proxy https://127.0.0.1" in text
    assert "(http:// instead of https://)" in text


@pytest.mark.faults
def test_behind_a_tunnel_it_is_the_provider_again(
    self_signed: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a proxy has opened the way, certificate, deadline and answer are the provider's."""
    with Upstream() as proxy, Upstream(tls=self_signed[0]) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        proxy.reply(Reply(tunnel=True))
        assert f"{server.url}/serverless/models shows a certificate that cannot be trusted" in str(failure(server))
        monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[1]))
        server.reply(page(1, "?2"), page(2, None))
        assert numbers(get(server, next_page=next_of)) == [1, 2]
        server.reply(Reply(body=BODY, drip=0.1))
        with within(2):
            text = str(failure(server, limits=Limits(deadline=0.5)))
        assert f"(through the proxy {proxy.origin} of HTTPS_PROXY) did not finish within the deadline of 0.5 s" in text
        assert [request.method for request in proxy.requests] == ["CONNECT"] * 3


@pytest.mark.parametrize(
    ("excluded", "is_direct"),
    [
        ("*", True),
        ("127.0.0.1", True),
        ("fe80::/10, 127.0.0.1", True),
        ("localhost,127.0.0.0/8,[::1]", True),
        ("localhost 127.0.0.1", True),
        ("http://127.0.0.1", True),
        ("127.0.0.1:{port}", True),
        ("127.0.0.1:1", False),
        ("https://127.0.0.1", False),
        ("::1,10.0.0.0/8,.0.1.example", False),
        ("27.0.0.1", False),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, excluded: str, is_direct: bool
) -> None:
    """Names, addresses and networks of both kinds, with or without a port, exclude a host from the proxy."""
    monkeypatch.setenv("NO_PROXY", excluded.format(port=upstream.port))
    with Upstream() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.origin)
        proxy.reply(GOOD)
        upstream.reply(GOOD)
        get(upstream)
        assert (len(upstream.requests), len(proxy.requests)) == ((1, 0) if is_direct else (0, 1))


def test_a_socks_proxy_is_no_matter_for_a_host_that_is_excluded(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that syncer cannot use stops nothing that does not go through it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    upstream.reply(GOOD)
    assert get(upstream).body == BODY


@pytest.mark.parametrize("entry", ["fe80::/200", "[::1", "127.0.0.1:port", "a/b", "."])
def test_an_entry_of_no_proxy_that_cannot_be_read_is_named_and_ignored(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, entry: str
) -> None:
    """One bad entry of NO_PROXY is one warning that names it; the others count."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", f"{entry},127.0.0.1")
    upstream.reply(GOOD)
    assert get(upstream).body == BODY
    (warning,) = [record.getMessage() for record in caplog.records]
    assert f"NO_PROXY has the entry {entry}, which is not a host, an address or a network" in warning


# --- keys and URLs ---------------------------------------------------------------------------------------------------


def test_a_key_is_trimmed(upstream: Upstream) -> None:
    """The line end of a key file is no part of the key."""
    upstream.reply(GOOD)
    get(upstream, key=f" {KEY}\r\n")
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "key", ["SECRET\nX-Evil: 1", "SECRET\x00", "SECRET\u20ac", "SECR\u00c9T", "Bearer SECRET", "  "]
)
def test_a_key_that_is_no_token_is_refused_unseen(upstream: Upstream, key: str) -> None:
    """Law 11: a key that cannot travel in a header is a settings error that does not show it, and nothing is sent."""
    with pytest.raises(SettingsError) as caught:
        get(upstream, key=key)
    assert "SECR" not in str(caught.value)
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://h.example", "https://h.example/serverless/models"),
        ("https://h.example/", "https://h.example/serverless/models"),
        ("https://h.example/api/v1//", "https://h.example/api/v1/serverless/models"),
        ("https://h.example/api/v1/serverless/models", "https://h.example/api/v1/serverless/models"),
        (" https://h.example/serverless/models/ ", "https://h.example/serverless/models"),
        ("http://[::1]:8080/v1?team=7", "http://[::1]:8080/v1/serverless/models?team=7"),
        ("HTTPS://h.example/v1", "https://h.example/v1/serverless/models"),
    ],
)
def test_the_catalog_url_is_made_from_the_base(base: str, url: str) -> None:
    """The endpoint is appended to the base URL unless it already ends in it."""
    assert catalog_url(base, ENDPOINT) == url


def test_a_format_without_a_path_takes_the_url_as_it_is() -> None:
    """Without a path of the format's own nothing of the URL is changed but outer white space."""
    assert catalog_url(" https://h.example/v1/models/?a=b ") == "https://h.example/v1/models/?a=b"


@pytest.mark.parametrize(
    "base",
    [
        "",
        "h.example/v1",
        "ftp://h.example",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://:443/v1",
        "https://me:hush@h.example",
        "https://hush@h.example",
        "https://me:hu/sh@h.example",
        "https://h.example/v1#hush",
        "https://h.example/v1#",
        "https://h.example:port",
        "https://h.example:99999",
        "https://[::1",
        "https://h.example/a b",
        "https://h.example\\@evil.example",
        "https://h.exa\nmple",
        "https://h.example/\u202e",
    ],
)
def test_a_base_that_is_no_plain_url_is_refused(base: str, upstream: Upstream) -> None:
    """Law 11: a base URL with userinfo, a fragment or no host is a settings error that shows no part that is secret."""
    with pytest.raises(SettingsError) as caught:
        catalog_url(base)
    assert "hu" not in str(caught.value).replace("httpx", "")
    with pytest.raises(SettingsError):
        fetch(Request(url=base), clock=lambda: NOW)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hush@H.example:8443/v1?token=hush#hush", "https://h.example:8443/v1?..."),
        ("https://h.example/v1", "https://h.example/v1"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("https://h.example/\x1b[2J", "https://h.example/\\x1b[2J"),
        ("https://me:hu/sh@h.example", "(a URL that cannot be read)"),
        ("mysql://me:hush@h/db", "(a URL that cannot be read)"),
        ("http://[", "(a URL that cannot be read)"),
    ],
)
def test_a_public_url_has_no_secret(url: str, shown: str) -> None:
    """Law 11: what is shown of a URL has no userinfo, no query value and no fragment."""
    assert public_url(url) == shown


def test_query_values_stay_out_of_errors_and_logs(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: a token in the query of the base URL reaches the server, and no error and no log line, of any logger."""
    upstream.reply(Reply(status=500), Reply(status=404))
    with caplog.at_level(logging.DEBUG):
        error = failure(f"{upstream.url}?token=hush")
    assert upstream.requests[0].path.endswith("?token=hush")
    assert "hush" not in str(error)
    assert "hush" not in caplog.text


# --- how the key travels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "sent"),
    [("bearer", {"authorization": f"Bearer {KEY}"}), ("none", {}), ("X-Api-Key", {"x-api-key": KEY})],
)
def test_the_key_travels_as_the_format_says(upstream: Upstream, auth: str, sent: dict[str, str]) -> None:
    """A key is a bearer token, the value of a header of any name, or is not sent at all."""
    upstream.reply(GOOD)
    get(upstream, auth=auth)
    headers = upstream.requests[0].headers
    assert {name: value for name, value in headers.items() if KEY in value} == sent


def test_a_source_has_headers_of_its_own(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """Extra headers travel with every request, also after a redirect, and a secret one is never shown (law 11)."""
    moved = Reply(status=307, headers={"Location": "/team-t0ken"})
    upstream.reply(moved, Reply(status=500, body=b"who is team-t0ken?"), moved, Reply(status=404, body=b"TEAM-T0KEN!"))
    headers = {"X-Team": "team-t0ken", "Anthropic-Version": "2023-06-01", "Accept": "application/vnd+json"}
    text = str(failure(upstream, headers=headers, secrets=("team-t0ken",)))
    for request in upstream.requests:
        assert request.headers["x-team"] == "team-t0ken"
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert request.headers["accept"] == "application/vnd+json"
    assert "t0ken" not in (text + caplog.text).lower()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"headers": {"X Team": "a"}}, "not the name of a header"),
        ({"headers": {"X-Team": "se\ncret"}}, "X-Team has a control character"),
        ({"headers": {"X-Team": "s\u00e9cret"}}, "X-Team has a control character, a non-ASCII"),
        ({"headers": {"Accept-Encoding": "br"}}, "set by syncer itself"),
        ({"auth": "x\r\ny"}, "not the name of a header"),
        ({"auth": "Host"}, "set by syncer itself"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(upstream: Upstream, asked: dict[str, Any], said: str) -> None:
    """A header that would be no header, or would break the exchange, is a settings error that shows no value."""
    with pytest.raises(SettingsError, match=said) as caught:
        get(upstream, **asked)
    assert "cret" not in str(caught.value)
    assert upstream.requests == []


def test_a_format_without_a_key_says_so(upstream: Upstream) -> None:
    """A refusal where the format sends no key names that, not the key."""
    upstream.reply(Reply(status=401))
    assert 'no key was sent, as auth is "none"' in str(failure(upstream, auth="none"))


# --- what the head of a response says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "date", "age"),
    [
        ({"Date": "Sun, 22 Nov 2026 11:00:00 GMT", "Age": "3600"}, NOW - timedelta(hours=1), timedelta(hours=1)),
        ({"Date": "Sun, 22 Nov 2026 13:00:00 +0200"}, NOW - timedelta(hours=1), None),
        ({"Date": "soon", "Age": "-1"}, None, None),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 -0900", "Age": "9" * 40}, None, timedelta(seconds=10**9)),
        ({"Date": "Wed, 31 Dec 1969 23:59:59 GMT", "Age": "1, 2"}, None, None),
        ({}, None, None),
    ],
)
def test_a_response_tells_its_own_time(
    upstream: Upstream, headers: dict[str, str], date: datetime | None, age: timedelta | None
) -> None:
    """Date and Age are handed on where they can be read (law 5), of a 304 too, and are never a failure."""
    upstream.reply(Reply(body=BODY, headers=headers), Reply(status=304, headers=headers))
    for response in (get(upstream), get(upstream, etag='"v1"')):
        assert (response.date, response.age, response.received_at) == (date, age, NOW)


@pytest.mark.parametrize(
    ("status", "headers", "partial"),
    [
        (200, {}, None),
        (206, {}, "status 206"),
        (200, {"Content-Range": "models 0-19/300"}, "Content-Range: models 0-19/300"),
        (200, {"Content-Range": "0-24/25"}, None),
        (200, {"Content-Range": "0-24/*"}, None),
        (200, {"Content-Range": "bytes 20-39/*"}, "Content-Range: bytes 20-39/*"),
        (200, {"Content-Range": "*/0"}, None),
        (200, {"Link": '</v1?page=2>; rel="next", </v1?page=9>; rel=last'}, "Link: rel=next"),
        (200, {"Link": "<https://h.example/a;b,c>; title=x; REL=Next"}, "Link: rel=next"),
        (200, {"Link": '</v1>; rel="start prev", </style.css>; rel=preload; as=style'}, None),
        (200, {"Link": '</v1>; rel=self; title="rel=next"'}, None),
        (200, {"Link": "<" * 60_000}, None),
    ],
)
def test_a_head_that_speaks_of_a_part_is_heard(
    upstream: Upstream, status: int, headers: dict[str, str], partial: str | None
) -> None:
    """Law 3: a status, a range or a link that says that there is more is handed on; what speaks of the whole is not."""
    upstream.reply(Reply(status=status, body=BODY, headers=headers))
    response = get(upstream)
    assert (response.status, response.body, response.partial) == (status, BODY, partial)


# --- pages -----------------------------------------------------------------------------------------------------------


def page(number: int, following: str | None, **headers: str) -> Reply:
    """One page of a list, whose body names the next one."""
    body = json.dumps({"page": number, "next": following}).encode()
    return Reply(body=body, headers={"ETag": f'"{number}"'} | headers)


def next_of(body: bytes | bytearray, url: str, number: int) -> str | None:
    """What the pages' format says: the next page is named in the body."""
    assert json.loads(body)["page"] in {number, number - 1}
    assert "://127.0.0.1:" in url
    return json.loads(body)["next"]  # type: ignore[no-any-return]


def numbers(response: Response) -> list[int]:
    """The pages that arrived."""
    return [json.loads(body)["page"] for body in response.bodies]


def test_all_pages_are_one_answer(upstream: Upstream) -> None:
    """Every page is asked for with the same key and headers, unconditionally, and what came has no ETag."""
    upstream.reply(page(1, "/api/v1?after=b"), page(2, "?after=c", Link="</more>; rel=next"), page(3, None))
    response = get(upstream, next_page=next_of, etag='"1"', headers={"X-Team": "a"})
    assert numbers(response) == [1, 2, 3]
    assert (response.status, response.etag, response.partial) == (200, None, None)
    assert [request.path for request in upstream.requests] == [
        "/api/v1/serverless/models",
        "/api/v1?after=b",
        "/api/v1?after=c",
    ]
    for request in upstream.requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-team"] == "a"
        assert "if-none-match" not in request.headers
    with pytest.raises(ValueError, match="3 pages"):
        _ = response.body


def test_a_list_of_pages_may_have_one(upstream: Upstream) -> None:
    """A first page that is the last is the whole answer."""
    upstream.reply(page(1, None))
    response = get(upstream, next_page=next_of)
    assert (numbers(response), response.body, response.etag) == ([1], response.bodies[0], None)


def test_pages_are_as_old_as_the_oldest(upstream: Upstream) -> None:
    """Date and Age of several pages are those of the one that a cache has held for longest; one part makes a part."""
    old = {"Date": "Sun, 22 Nov 2026 11:00:00 GMT", "Age": "3600"}
    new = {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}
    cut = {"Content-Range": "0-1/9"}
    upstream.reply(page(1, "?2", **new), page(2, "?3", **old), page(3, None, **new, **cut))
    response = get(upstream, next_page=next_of)
    assert (response.date, response.age) == (NOW - timedelta(hours=1), timedelta(hours=1))
    assert response.partial == "Content-Range: 0-1/9"


@pytest.mark.faults
@pytest.mark.parametrize(
    "broken", [Reply(status=500), Reply(body=b"{}", content_length=9), Reply(hang=True)], ids=["500", "cut", "silent"]
)
def test_a_page_that_fails_is_tried_again(upstream: Upstream, broken: Reply) -> None:
    """A page in the middle has as many attempts as the first; the others are not asked for twice."""
    upstream.reply(page(1, "?2"), broken, broken, page(2, "?3"), broken, page(3, None))
    assert numbers(get(upstream, next_page=next_of)) == [1, 2, 3]
    assert len(upstream.requests) == 6


@pytest.mark.faults
@pytest.mark.parametrize(
    ("last", "said"),
    [
        (Reply(status=404), "status 404"),
        (Reply(status=500), "given up after 4 attempts"),
        (Reply(body=b"x" * 100, drip=0.1), "deadline of 1 s"),
        (Reply(body=b"x" * QUICK.max_body), r"larger than 1048576 bytes \(decoded, with the pages before it\)"),
        (page(3, "/api/v1/serverless/models?2"), "one that came before, so the list never ends"),
        (page(3, "/api/v1/serverless/models"), "one that came before, so the list never ends"),
        (page(3, "http://localhost:9/v1"), "another origin: from http://127.0.0.1:.* to http://localhost:9"),
        (page(3, "//me:hush@127.0.0.1/v1"), "another origin"),
        (page(3, "http://[::1"), "not a URL"),
        (page(2, "?3"), "page 3 of .* is the same as the one before it"),
        (page(3, "?4"), "more than 3 pages are not read"),
    ],
    ids=[
        "refused",
        "down",
        "slow",
        "large",
        "circle",
        "start",
        "elsewhere",
        "userinfo",
        "not a URL",
        "ignored",
        "endless",
    ],
)
def test_pages_that_do_not_all_arrive_are_no_answer(upstream: Upstream, last: Reply, said: str) -> None:
    """Law 3: a list of which one page is missing is a failed fetch, never a shorter list."""
    upstream.reply(page(1, "?2"), page(2, "?3"), last)
    limits = Limits(deadline=1, read=2, max_body=QUICK.max_body, attempts=4, backoff=0.01, max_pages=3)
    with within(3):
        error = failure(upstream, next_page=next_of, limits=limits)
    assert re.search(said, str(error))
    assert "hush" not in str(error)


def test_a_page_that_cannot_be_read_is_the_formats_to_refuse(upstream: Upstream) -> None:
    """What the format raises for a page comes out as it is, without the key that the page holds."""

    def refuse(body: bytes | bytearray, _url: str, number: int) -> str | None:
        raise BadResponse(f"page {number} is not JSON: it begins with {body[:40].decode()}", http_status=200)

    upstream.reply(Reply(body=f"no {KEY}".encode()))
    with pytest.raises(BadResponse, match=r"page 1 is not JSON: it begins with no \*\*\*"):
        get(upstream, next_page=refuse)


def test_a_list_that_changes_between_its_pages_is_fetched_once_more(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Pages that contradict each other are fetched again, and then, in a sentence, are a failure."""

    def contradiction(bodies: tuple[bytes | bytearray, ...]) -> str | None:
        return None if b'"x": 1' in bodies[-1] else "acme/\x1b[2J is on two of them"

    torn = [page(1, "?2"), page(2, None)]
    whole = Reply(body=b'{"page": 2, "next": null, "x": 1}')
    upstream.reply(*torn, torn[0], whole)
    assert numbers(get(upstream, next_page=next_of, contradiction=contradiction)) == [1, 2]
    assert "not of one list: acme/\\x1b[2J is on two of them" in caplog.text
    upstream.reply(*torn, *torn)
    text = str(failure(upstream, next_page=next_of, contradiction=contradiction))
    assert "changed while its 2 pages were fetched, twice in a row: acme/\\x1b[2J is on two of them" in text
    assert len(upstream.requests) == 8
