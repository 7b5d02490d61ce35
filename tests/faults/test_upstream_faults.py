"""Whatever upstream does wrong: the run is recorded as failed with the reason, nothing else moves, the next heals."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from syncer.errors import BadResponse, FetchError
from tests.faults import (
    HOUR,
    KEY,
    MOVED,
    NOON,
    OFFERED,
    assert_consistent,
    effects,
    history,
    last_run,
    outcomes,
    source_at,
    sync,
)
from tests.upstream import Reply, Upstream, catalog_body, model

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

LIMITS: dict[str, Any] = {"deadline": timedelta(seconds=1), "max_body": 1024 * 1024}
GOOD = Reply(body=catalog_body(MOVED), headers={"ETag": '"good"'})

FAULTS = {
    "hangs": (Reply(hang=True), FetchError, None, "deadline of 1 s"),
    "drips a byte a second": (Reply(body=GOOD.body, drip=1.0), FetchError, 200, "deadline of 1 s"),
    "drips its head": (Reply(body=GOOD.body, drip=1.0, drip_in="head"), FetchError, None, "deadline of 1 s"),
    "closes midway": (Reply(body=GOOD.body, close_after=1000), FetchError, 200, "connection .* broke"),
    "promises more than it sends": (
        Reply(body=GOOD.body, content_length=len(GOOD.body) + 1),
        FetchError,
        200,
        "connection .* broke",
    ),
    "promises less than it sends": (
        Reply(body=GOOD.body, content_length=len(GOOD.body) - 40),
        BadResponse,
        200,
        "is not JSON",
    ),
    "10 GB of gzip zeros": (Reply(gzip_bomb=10 * 1024**3), FetchError, 200, "larger than 1048576 bytes"),
    "no gzip": (Reply(body=b"{}", headers={"Content-Encoding": "gzip"}), FetchError, 200, "not the gzip"),
    "Brotli": (Reply(body=b"?", headers={"Content-Encoding": "br"}), FetchError, 200, "packed with Brotli"),
    "500 for ever": (Reply(status=500), FetchError, 500, "status 500"),
    "429, to wait an hour": (
        Reply(status=429, headers={"Retry-After": "3600"}),
        FetchError,
        429,
        "not to be called before 2026-03-01T14:00:00Z",
    ),
    "401": (Reply(status=401, body=f"key {KEY} is unknown".encode()), FetchError, 401, "the key was refused"),
    "404": (Reply(status=404), FetchError, 404, "check the base URL"),
    "a redirect elsewhere": (Reply(status=302, headers={"Location": "http://127.0.0.2:9/"}), FetchError, 302, "origin"),
    "HTML with 200": (Reply(body=b"<!doctype html><h1>Down</h1>"), BadResponse, 200, "is HTML"),
    "other JSON": (Reply(body=b'{"data": [1, 2]}'), BadResponse, 200, "does not report success"),
    "a list": (Reply(body=b"[]"), BadResponse, 200, "a list where an object belongs"),
    "nothing": (Reply(body=b""), BadResponse, 200, "empty"),
    "truncated JSON": (Reply(body=GOOD.body[:700]), BadResponse, 200, "is not JSON"),
    "failed, with 200": (
        Reply(body=catalog_body([], status="failed", message="maintenance")),
        BadResponse,
        200,
        "maintenance",
    ),
    "no readable row": (
        Reply(body=catalog_body([{"price": 1}, 7])),
        BadResponse,
        200,
        "none of the 2 listed models can be read",
    ),
}


@pytest.fixture
def known_url(sqlite_url: str, upstream: Upstream) -> str:
    """A database that has seen one catalog."""
    sync(sqlite_url, source_at(upstream.serve(OFFERED).url), NOON)
    return sqlite_url


def _assert_failed_and_heals(
    url: str, upstream: Upstream, error: type[Exception], reason: str, at: str | None = None
) -> None:
    """One observation fails for `reason` and moves nothing; the next, at a good upstream, sees everything."""
    before = effects(url)
    with pytest.raises(error, match=reason) as raised:
        sync(url, source_at(at or upstream.url, **LIMITS), NOON + HOUR)
    run = last_run(url)
    assert (run.outcome, run.observed_at, run.listed) == ("failed", None, None)
    assert run.error == str(raised.value)
    assert re.search(reason, run.error)
    assert KEY not in run.error
    after = effects(url)
    assert after.pop("runs")[:-1] == before.pop("runs")
    for table in (after, before):
        table["sources"][0].pop("url")  # as configured
    assert after == before
    assert_consistent(url)
    upstream.reply(GOOD)
    sync(url, source_at(upstream.url, **LIMITS), NOON + 2 * HOUR)
    assert outcomes(url) == ["changed", "failed", "held"]
    assert_consistent(url)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_fails_the_run_and_heals(known_url: str, upstream: Upstream, name: str) -> None:
    """A response that cannot be had or read changes nothing, and the run says why (laws 3 and 9)."""
    reply, error, status, reason = FAULTS[name]
    upstream.reply(reply)
    _assert_failed_and_heals(known_url, upstream, error, reason)
    assert [run["http_status"] for run in effects(known_url)["runs"] if run["outcome"] == "failed"] == [status]


def test_refused_connection(known_url: str, upstream: Upstream) -> None:
    """A port where nobody listens fails the run, which says so (law 9)."""
    with closing(socket.create_server(("127.0.0.1", 0))) as nobody:
        port = nobody.getsockname()[1]
    _assert_failed_and_heals(known_url, upstream, FetchError, "cannot connect", at=f"http://127.0.0.1:{port}")


def test_name_that_does_not_resolve(known_url: str, upstream: Upstream) -> None:
    """A host name that DNS does not know fails the run, which says so (law 9)."""
    _assert_failed_and_heals(
        known_url, upstream, FetchError, "cannot connect|deadline of 1 s", at="http://provider.invalid/api/v1"
    )


def test_tls_with_somebody_who_speaks_none(known_url: str, upstream: Upstream) -> None:
    """A failed TLS handshake fails the run, which says so (law 9)."""
    secure = upstream.url.replace("http:", "https:")
    _assert_failed_and_heals(known_url, upstream, FetchError, "no TLS with", at=secure)


def test_connection_cut_in_the_tls_handshake(known_url: str, upstream: Upstream, slammed_port: int) -> None:
    """A peer that hangs up on each handshake fails the run, which says so (law 9)."""
    url = f"https://127.0.0.1:{slammed_port}/api"
    _assert_failed_and_heals(
        known_url, upstream, FetchError, r"no TLS with|cannot connect|broke|did not finish", at=url
    )


@pytest.fixture
def slammed_port() -> Iterator[int]:
    """A port whose owner accepts each connection and closes it at once."""
    server = socket.create_server(("127.0.0.1", 0))

    def slam() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return

    thread = threading.Thread(target=slam)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_three_errors_and_then_well(database_url: str, upstream: Upstream) -> None:
    """Three 500s in a row are outlived within one run, which ends as if they had not been."""
    upstream.reply(*[Reply(status=500)] * 3, GOOD)
    report = sync(database_url, source_at(upstream.url), NOON)
    assert (report.outcome, report.result.http_status, len(upstream.requests)) == ("changed", 200, 4)
    assert outcomes(database_url) == ["changed"]
    assert_consistent(database_url)


def test_too_many_requests_with_a_short_wait(database_url: str, upstream: Upstream) -> None:
    """A 429 with Retry-After is waited for, as long as asked, within one run."""
    upstream.reply(Reply(status=429, headers={"Retry-After": "1"}), GOOD)
    assert sync(database_url, source_at(upstream.url), NOON).outcome == "changed"
    first, second = upstream.requests
    assert second.at - first.at >= 1
    assert_consistent(database_url)


def test_truncated_but_valid_list_is_held(database_url: str, upstream: Upstream) -> None:
    """A list that was cut to a third and is valid JSON removes nothing: held, and forgotten when it is whole again."""
    offered = [model(f"m{n}", 1) for n in range(30)]
    sync(database_url, source_at(upstream.serve(offered).url), NOON)
    report = sync(database_url, source_at(upstream.serve([*offered[:9], model("m9", 2)]).url), NOON + HOUR)
    assert (report.outcome, report.result.withheld, dict(report.result.counts)) == ("held", 20, {"repriced": 1})
    assert (report.result.error or "").startswith("20 models missing: m10, m11,")
    assert_consistent(database_url)
    healed = sync(
        database_url, source_at(upstream.serve([*offered[:9], model("m9", 2), *offered[10:]]).url), NOON + 2 * HOUR
    )
    assert (healed.outcome, healed.result.withheld) == ("unchanged", 0)
    assert [row["state"] for row in history(database_url)["findings"]] == ["withdrawn"]
    assert not [row for row in history(database_url)["changes"] if row["kind"] == "removed"]
    assert_consistent(database_url)


def test_empty_list_is_held(database_url: str, upstream: Upstream) -> None:
    """An empty but valid list wipes no catalog: held, and forgotten when the models are back."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    assert sync(database_url, source_at(upstream.serve([]).url), NOON + HOUR).outcome == "held"
    assert sync(database_url, source_at(upstream.serve(OFFERED).url), NOON + 2 * HOUR).outcome == "unchanged"
    assert len(history(database_url)["changes"]) == len(OFFERED)
    assert_consistent(database_url)


def test_a_row_of_failures_and_one_observation(database_url: str, upstream: Upstream) -> None:
    """After a night of different faults, one observation carries on from the last one before them (law 6)."""
    sync(database_url, source_at(upstream.serve(OFFERED).url), NOON)
    for number, name in enumerate(("closes midway", "HTML with 200", "404", "no gzip"), 1):
        reply, error, *_ = FAULTS[name]
        upstream.reply(reply)
        with pytest.raises(error):
            sync(database_url, source_at(upstream.url, **LIMITS), NOON + number * HOUR)
    sync(database_url, source_at(upstream.serve(MOVED).url), NOON + 5 * HOUR)
    assert outcomes(database_url) == ["changed", *["failed"] * 4, "held"]
    changed_after = {row["changed_after"] for row in history(database_url)["changes"] if row["kind"] != "added"}
    assert changed_after == {NOON}, "the last observation is the one before the faults (law 6)"
    assert_consistent(database_url)
