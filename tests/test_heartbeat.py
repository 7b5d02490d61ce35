"""The dead-man switch, at a real receiver, and where its address comes from."""

import logging
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest

from syncer.errors import SettingsError
from syncer.heartbeat import failing, send
from syncer.settings import Secret, Settings, load, read_heartbeat_url
from syncer.settings.describing import describe
from tests.upstream import Reply, Upstream

SECRET = "5f1d-t0ken-in-the-path"


@pytest.fixture
def address(upstream: Upstream) -> Secret:
    """The address of a receiver that says 200."""
    upstream.reply(Reply(body=b"OK"))
    return Secret(f"{upstream.origin}/ping/{SECRET}")


def test_a_good_round_calls_the_address_and_a_bad_one_fail(upstream: Upstream, address: Secret) -> None:
    """A heartbeat is one GET: the address when all is well, the address and /fail when something is wrong."""
    assert send(address, ok=True)
    assert send(address, ok=False)
    asked = [(request.method, request.path) for request in upstream.requests]
    assert asked == [("GET", f"/ping/{SECRET}"), ("GET", f"/ping/{SECRET}/fail")]


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("https://b.example/u", "https://b.example/u/fail"),
        ("https://b.example/u/", "https://b.example/u/fail"),
        ("https://b.example/u?create=1", "https://b.example/u/fail?create=1"),
        ("https://b.example", "https://b.example/fail"),
    ],
)
def test_fail_stands_behind_the_path(address: str, called: str) -> None:
    """/fail goes behind the path, whatever query follows."""
    assert failing(address) == called


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(status=404), "status 404"),
        (Reply(status=302, headers={"Location": "http://elsewhere.example/"}), "status 302"),
        (Reply(hang=True), "did not finish within the deadline of 0.5 s"),
        (Reply(body=b"OK", drip=0.2, drip_in="head"), "did not finish within the deadline of 0.5 s"),
    ],
    ids=["gone", "redirect", "silent", "dripping"],
)
def test_what_is_not_heard_is_one_warning_in_time(
    upstream: Upstream, address: Secret, reply: Reply, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal, a redirect and a receiver that never ends are one warning each, within the deadline (law 11)."""
    upstream.reply(reply)
    began = time.monotonic()
    with caplog.at_level(logging.DEBUG):
        assert not send(address, ok=True, deadline=timedelta(seconds=0.5))
    assert time.monotonic() - began < 5
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert why in warning
    assert SECRET not in caplog.text


def test_nobody_there_is_a_warning_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    """An address at which nobody listens is a warning that does not hold it (law 11)."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with caplog.at_level(logging.DEBUG):
            assert not send(Secret(f"http://127.0.0.1:{port}/{SECRET}"), ok=True)
    assert (
        "cannot connect to its address: [Errno 111] Connection refused; check heartbeat_url and the network"
        in caplog.text
    )
    assert SECRET not in caplog.text
    assert str(port) not in caplog.text


# -- settings ----------------------------------------------------------------------------------------------------------


def configured(folder: Path, text: str) -> Settings:
    """The settings of a syncer.toml."""
    (folder / "syncer.toml").write_text(text)
    return load({}, cwd=folder)


def test_the_address_is_in_the_file_or_in_a_variable(tmp_path: Path) -> None:
    """heartbeat_url is the address, heartbeat_url_env the variable that holds it; without both there is none."""
    assert read_heartbeat_url(configured(tmp_path, ""), {}) is None
    given = read_heartbeat_url(configured(tmp_path, f'heartbeat_url = "https://b.example/{SECRET}"'), {})
    assert given is not None
    assert given.reveal() == f"https://b.example/{SECRET}"
    named = configured(tmp_path, 'heartbeat_url_env = "BEAT_URL"')
    found = read_heartbeat_url(named, {"BEAT_URL": " https://b.example/x \n"})
    assert found is not None
    assert found.reveal() == "https://b.example/x"


def test_the_address_is_never_shown(tmp_path: Path) -> None:
    """Neither `syncer config` nor a repr shows the address (law 11)."""
    settings = configured(tmp_path, f'heartbeat_url = "https://b.example/{SECRET}"')
    assert describe(settings, {})["heartbeat_url"] == "***"
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        f'heartbeat_url = "ftp://b.example/{SECRET}"',
        f'heartbeat_url = "https://user:{SECRET}@b.example/"',
        f'heartbeat_url_env = "https://b.example/{SECRET}"',
        f'heartbeat_url = "https://b.example/{SECRET}"\nheartbeat_url_env = "BEAT_URL"',
    ],
)
def test_an_address_that_cannot_be_used_is_refused_unquoted(tmp_path: Path, text: str) -> None:
    """Another scheme, a user, a URL for a variable's name, or both at once: refused, never quoted (law 11)."""
    with pytest.raises(SettingsError, match="heartbeat_url") as refused:
        configured(tmp_path, text)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("held", ["", SECRET])
def test_a_variable_without_an_address_is_named(tmp_path: Path, held: str) -> None:
    """An empty variable, and one that holds no URL, is refused by its name (law 11)."""
    settings = configured(tmp_path, 'heartbeat_url_env = "BEAT_URL"')
    with pytest.raises(SettingsError, match="BEAT_URL") as refused:
        read_heartbeat_url(settings, {"BEAT_URL": held})
    assert SECRET not in str(refused.value)
