"""[[alerts]]: a consumer, and the one sink that its table's keys choose."""

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncer import manual
from syncer.alerts import sinks as package
from syncer.alerts.message import DeliveryError, Message
from syncer.alerts.sinks.chat import Chat
from syncer.alerts.sinks.command import Command
from syncer.alerts.sinks.file import File
from syncer.alerts.sinks.redis import RedisStream
from syncer.alerts.sinks.webhook import Webhook
from syncer.errors import SettingsError
from syncer.settings import AlertSettings, sinks
from syncer.settings.describing import describe
from syncer.settings.reading import rules_of
from syncer.settings.secrets import read_field
from syncer.settings.sinks import Opening, SinkSettings
from tests.settings.conftest import SECRET, Loader

HOOK = f"https://hooks.example.org/{SECRET}"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NONE_OF_THEM = "exactly one of apprise, apprise_env, command, file, redis, redis_env, url, url_env"


def alert(text: str, load: Loader) -> AlertSettings:
    """The one alert of a file whose table holds `text`."""
    return load(f"[[alerts]]\nname = 'team'\n{text}").alerts[0]


def test_an_alert_of_an_address_alone_is_told_everything_new(load: Loader) -> None:
    """The defaults of an alert: no filter, no quiet, from the end of the feed on."""
    assert alert("url_env = 'HOOK'", load) == AlertSettings(
        name="team",
        to=Webhook(url_env="HOOK"),
        kinds=(),
        models=(),
        types=(),
        sources=(),
        components=(),
        direction=None,
        min_percent=None,
        min_absolute=None,
        quiet_minutes=0,
        net=False,
        digest=None,
        start="end",
    )


def test_every_setting_of_an_alert_is_read(load: Loader) -> None:
    """Each filter of the file arrives, and numbers are the decimals that were written (law 4)."""
    found = alert(
        """
        url_env = "HOOK"
        secret_env = "NEW"
        previous_secret_env = "OLD"
        mode = "binary"
        headers_env = { X-Team = "TEAM" }
        kinds = ["repriced", "removed", "held"]
        models = ["deepseek-ai/*"]
        types = ["Text"]
        sources = ["main"]
        components = ["input", "input@>200000"]
        direction = "down"
        min_percent = 5
        min_absolute = 0.10000000000000000001
        quiet_minutes = 90
        net = true
        digest = "1d"
        start = "beginning"
        """,
        load,
    )
    assert found == AlertSettings(
        name="team",
        to=Webhook(
            url_env="HOOK",
            secret_env="NEW",
            previous_secret_env="OLD",
            mode="binary",
            headers_env={"X-Team": "TEAM"},
        ),
        kinds=("repriced", "removed", "held"),
        models=("deepseek-ai/*",),
        types=("Text",),
        sources=("main",),
        components=("input", "input@>200000"),
        direction="down",
        min_percent=Decimal(5),
        min_absolute=Decimal("0.10000000000000000001"),
        quiet_minutes=90,
        net=True,
        digest=timedelta(days=1),
        start="beginning",
    )
    assert type(found.min_absolute) is Decimal


def test_each_setting_of_an_alert_has_a_rule() -> None:
    """No field of AlertSettings is out of a file's reach, and no rule is for nothing."""
    assert {*rules_of(AlertSettings), "to"} == set(AlertSettings.__struct_fields__)
    for kind in sinks.kinds().values():
        assert tuple(rules_of(kind)) == kind.__struct_fields__
        assert set(kind.ADDRESSES) <= set(rules_of(kind))


def test_paths_of_alerts_are_relative_to_the_file(load: Loader, tmp_path: Path) -> None:
    """A file and a program with a slash are beside the configuration, wherever it is run; others are on the PATH."""
    assert alert("file = 'changes.jsonl'", load).to == File(file=str(tmp_path / "changes.jsonl"))
    for written, read in [
        (["./on-change", "./x"], (str(tmp_path / "on-change"), "./x")),
        (["notify"], ("notify",)),
        (["/bin/true"], ("/bin/true",)),
    ]:
        assert alert(f"command = {written}", load).to == Command(command=read)
    for given, form in [("slack", "slack"), ("chat.jinja", str(tmp_path / "chat.jinja"))]:
        assert alert(f"apprise_env = 'CHAT'\nformat = '{given}'", load).to == Chat(apprise_env="CHAT", format=form)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[alerts]]\nfile = 'x'", ["alerts[0]: name is missing"]),
        ("[[alerts]]\nname = 'a'", ["alerts[0] (name 'a')", "nothing says where", NONE_OF_THEM]),
        ("[[alerts]]\nname = 'a'\nfile = 'x'\nurl_env = 'X'", ["file and url_env are given", NONE_OF_THEM]),
        ("[[alerts]]\nname = 'a'\nurl = 'http://x'\nurl_env = 'X'", ["url and url_env are given"]),
        ("[[alerts]]\nname = 'a'\nfile = 'x'\n[[alerts]]\nname = 'a'\nfile = 'y'", ["Two [[alerts]]", "'a'"]),
        ("[alerts]\nname = 'a'", ["alerts must be tables", "[[alerts]]"]),
        ("[[alert]]\nname = 'a'", ["'alert'", "Did you mean 'alerts'?"]),
    ],
)
def test_a_wrong_alert_says_what_and_where(load: Loader, text: str, words: list[str]) -> None:
    """A table that cannot be an alert is refused with its place and what is right."""
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kind = ['removed']", ["'kind'", "Did you mean 'kinds'?"]),
        ("kinds = ['repricd']", ["kinds = ['repricd']", "added, removed, relisted, repriced, updated, reread, failed"]),
        ("kinds = []", ["kinds = []"]),
        ("kinds = 'removed'", ["kinds = 'removed'"]),
        ("models = ['']", ["models = ['']"]),
        ("direction = 'sideways'", ["direction = 'sideways'", '"up" or "down"']),
        ("min_percent = -0.5", ["min_percent = -0.5", "a number from 0"]),
        ("min_percent = '5'", ["min_percent = '5'"]),
        ("min_percent = nan", ["min_percent = nan"]),
        ("min_absolute = inf", ["min_absolute = inf"]),
        ("min_absolute = 1e999999", ["min_absolute = 1E+999999"]),
        ("min_absolute = true", ["min_absolute = true"]),
        ("quiet_minutes = 1.5", ["quiet_minutes = 1.5", "whole number"]),
        ("quiet_minutes = -1", ["quiet_minutes = -1"]),
        ("net = 'yes'", ["net = 'yes'", "true or false"]),
        ("digest = '1s'", ["digest = '1s'", "from 1m"]),
        ("components = ['Input']", ["components = ['Input']", "price components"]),
        ("components = 'input'", ["components = 'input'"]),
        ("start = 'now'", ["start = 'now'", '"end" or "beginning"']),
        ("secret_env = 'S'", ["secret_env belongs to url or url_env, which is not given. Remove it."]),
    ],
)
def test_a_wrong_setting_of_an_alert_says_what_and_where(load: Loader, line: str, words: list[str]) -> None:
    """A refused filter is named with its alert, what was given and what is expected."""
    with pytest.raises(SettingsError) as caught:
        alert(f"file = 'x'\n{line}", load)
    message = str(caught.value)
    assert all(word in message for word in ["alerts[0] (name 'team')", *words]), message


def test_a_number_beyond_all_measure_is_refused(load: Loader) -> None:
    """An exponent that no decimal can hold is a sentence, not a traceback."""
    with pytest.raises(SettingsError, match="too large or too small"):
        alert("file = 'x'\nmin_percent = 1e9999999999999999999", load)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mode = 'single'", 'mode = \'single\' cannot be used. Expected: "structured" or "binary" or "batch"'),
        (
            f"headers_env = {{ X-Token = '{SECRET}' }}",
            "headers_env cannot be used. Expected: a table of header to the NAME",
        ),
        ("headers_env = { webhook-id = 'X' }", "headers_env: the header webhook-id says what the request is"),
        ("headers_env = { Content-Length = 'X' }", "headers_env: the header Content-Length is set by syncer itself"),
    ],
)
def test_what_a_webhook_cannot_send_is_refused(load: Loader, line: str, words: str) -> None:
    """A mode that does not exist, a value where its variable is named, and a header that is ours are refused."""
    with pytest.raises(SettingsError) as caught:
        alert(f"url_env = 'HOOK'\n{line}", load)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_previous_secret_needs_a_new_one(load: Loader) -> None:
    """A rotation has two secrets."""
    with pytest.raises(SettingsError, match="without secret_env"):
        alert("url_env = 'X'\nprevious_secret_env = 'OLD'", load)


@pytest.mark.parametrize(
    "line",
    [
        f"url = 'ftp://host/{SECRET}'",
        f"url = 'https://me:{SECRET}@host/x'",
        f"url = 'https://host/{SECRET} x'",
        f"url_env = '{HOOK}'",
        f"url_env = 'X'\nsecret_env = '{SECRET}'",
        f"apprise = '{SECRET}'",
        f"apprise = ['slack://{SECRET}']",
        f"apprise_env = 'slack://{SECRET}'",
        f"redis = 'redis://:{SECRET}@host'",
        f"redis = 'redis://:{SECRET}@host/0'",
        f"redis = 'redis://:{SECRET}@host/x/y/z'",
        f"redis = 'redis://:{SECRET}@host:99999/x'",
        f"redis = 'redis://host/x?password={SECRET}'",
        f"redis_env = 'redis://:{SECRET}@host/x'",
        f"command = '{SECRET}'",
        f"command = ['', '{SECRET}']",
        f"command = [1, '{SECRET}']",
        "command = []",
    ],
)
def test_an_address_that_cannot_be_used_is_not_quoted(load: Loader, line: str) -> None:
    """Law 11: a wrong address is refused with what is expected, and without what was given."""
    with pytest.raises(SettingsError, match=r"cannot be used\. Expected: ") as caught:
        alert(line, load)
    assert SECRET not in str(caught.value)
    assert not caught.value.__cause__


@pytest.mark.parametrize(
    "line",
    [
        f"url = '{HOOK}'",
        f"apprise = 'slack://{SECRET}/x'",
        f"redis = 'redis://:{SECRET}@host:6380/2/my.stream:x'",
        f"redis = 'rediss://:{SECRET}@host/stream'",
    ],
)
def test_addresses_are_secrets(load: Loader, line: str) -> None:
    """Law 11: an address that stands in the file is masked in repr and `describe`, and known to who delivers."""
    found = load(f"[[alerts]]\nname = 'team'\n{line}")
    described = describe(found, {})
    assert SECRET not in f"{found!r} {described}"
    assert described["alerts"][0][line.partition(" ")[0]] == "***"
    assert described["alerts"][0]["address_set"]
    address = read_field(found.alerts[0].to, line.partition(" ")[0], {}, "alert 'team'")
    assert address is not None
    assert address.reveal() == line.partition("'")[2].rstrip("'")


def test_describe_shows_an_alert_as_it_was_written(load: Loader) -> None:
    """`describe` has each setting as plain JSON, and says whether the address can be read now."""
    text = "[[alerts]]\nname = 'a'\nurl_env = 'HOOK'\nmin_percent = 5\nmin_absolute = 0.1\ndigest = '24h'"
    (shown,) = describe(load(text), {"HOOK": HOOK})["alerts"]
    assert (shown["url_env"], shown["min_percent"], shown["min_absolute"]) == ("HOOK", 5, Decimal("0.1"))
    assert (shown["digest"], shown["address_set"]) == ("1d", True)
    assert not describe(load(text), {})["alerts"][0]["address_set"]


def test_an_address_is_read_when_it_is_used() -> None:
    """A rotated variable is seen at the next delivery: the URL and both secrets."""
    to = Webhook(url_env="HOOK", secret_env="NEW", previous_secret_env="OLD")
    for new in (WHSEC, WHSEC.removeprefix("whsec_")):
        environ = {"HOOK": f" {HOOK}\n", "NEW": new, "OLD": WHSEC}
        read = [read_field(to, field, environ, "alert 'a'") for field in ("url", "secret", "previous_secret")]
        assert [secret and secret.reveal() for secret in read] == [HOOK, new, WHSEC]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("url_env", None, "is not set or empty"),
        ("url_env", " ", "is not set or empty"),
        ("url_env", f"ftp://{SECRET}", "http:// or https://"),
        ("apprise_env", SECRET, "one URL of the Apprise library"),
        ("redis_env", f"redis://{SECRET}", "redis://host/stream"),
        ("secret_env", None, "is not set or empty"),
        ("secret_env", SECRET, "whsec_"),
        ("secret_env", "\u00e9" * 40, "whsec_"),
        ("secret_env", "whsec_c2hvcnQ=", "24 to 64 random bytes"),
        ("headers_env", None, "is not set or empty"),
        ("headers_env", f"{SECRET}\n{SECRET}", "printable ASCII"),
    ],
)
def test_a_missing_or_broken_address_names_alert_and_setting(field: str, value: str | None, words: str) -> None:
    """Law 11: what a variable lacks or wrongly holds is refused with its name, and without its content."""
    kinds: dict[str, type[SinkSettings]] = {"apprise_env": Chat, "redis_env": RedisStream}
    given: dict[str, Any] = {"url_env": "HOOK"} if field in {"secret_env", "headers_env"} else {}
    given |= {field: {"X-Team": "THE_NAME"} if field == "headers_env" else "THE_NAME"}
    environ = {"HOOK": HOOK} | ({} if value is None else {"THE_NAME": value})
    with pytest.raises(SettingsError) as caught:
        kinds.get(field, Webhook)(**given).open(Opening("team", environ, lambda: datetime.now(UTC)))
    message = str(caught.value)
    assert all(word in message for word in ("THE_NAME", field, "'team'", words)), message
    assert SECRET not in message
    assert not caught.value.__cause__


# --- a new sink ------------------------------------------------------------------------------------------------------

RECIPE = manual.read("internals").partition("## How to add a sink")[2]
PAGER = RECIPE.partition("```python\n")[2].partition("```")[0]


def test_a_sink_is_one_file(load: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manual's module beside the others, and nothing else, is a new kind of address with settings of its own."""
    (tmp_path / "pager.py").write_text(PAGER)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    known = dict(sinks._KINDS)
    sinks._import_all.cache_clear()
    try:
        found = load("[[alerts]]\nname = 'night'\npager = 'bob'\nrings = 5\nkinds = ['failed']").alerts[0]
        opening, message = (
            Opening("night", {}, lambda: datetime.now(UTC)),
            Message(id="1", consumer="night", body=b"[]", events=()),
        )
        found.to.open(opening)(message)
        assert (found.to.TOOK, msgspec.structs.asdict(found.to)) == ("the pager rang", {"pager": "bob", "rings": 5})
        with pytest.raises(DeliveryError, match="night: nobody answers to message 1"):
            alert("pager = 'nobody'", load).to.open(opening)(message)
        with pytest.raises(SettingsError, match=r"rings = 10 cannot be used\. Expected: a whole number from 1 to 9"):
            alert("pager = 'bob'\nrings = 10", load)
        with pytest.raises(SettingsError, match="rings belongs to pager, which is not given"):
            alert("file = 'x'\nrings = 2", load)
    finally:
        sinks._KINDS.clear()
        sinks._KINDS.update(known)
        sinks._import_all.cache_clear()
        sys.modules.pop("syncer.alerts.sinks.pager", None)
