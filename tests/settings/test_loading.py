"""settings: syncer.toml and SYNCER_* become one frozen value, or one sentence that says what to mend."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncer import settings
from syncer.errors import SettingsError, UsageError
from syncer.settings import Secret, Settings, SourceSettings
from syncer.settings.describing import describe
from syncer.settings.reading import rules_of
from tests.settings.conftest import SECRET, URL, Loader


def source(text: str, load: Loader) -> SourceSettings:
    """The one source of a file whose table holds `text`."""
    return load(f'[[sources]]\nurl = "{URL}"\n{text}').sources[0]


def test_nothing_configured_is_settings_without_a_source(load: Loader) -> None:
    """Without a file and variables the database is the default one and there is no source."""
    assert load() == Settings(database_url="sqlite:///syncer.db", save_bodies=None, sources=(), path=None)


def test_no_source_teaches_both_ways(load: Loader) -> None:
    """Asking for the sources when none is configured names the variable and the file."""
    with pytest.raises(SettingsError, match=r"(?s)SYNCER_API_URL.*syncer\.toml"):
        load().select([])


def test_environment_alone_makes_the_default_source(load: Loader) -> None:
    """One source needs only the environment; it is called `default` and its key is SYNCER_API_KEY."""
    found = load(SYNCER_API_URL=URL, SYNCER_API_KEY=SECRET, SYNCER_DATABASE_URL="postgresql://h/d", SYNCER_TRUST="off")
    assert found.sources == (SourceSettings(url=URL, api_key_env="SYNCER_API_KEY", trust=False),)
    assert found.database_url == "postgresql://h/d"


def test_empty_variables_count_as_unset(load: Loader) -> None:
    """An empty or blank variable changes nothing."""
    blank = dict.fromkeys(["SYNCER_API_URL", "SYNCER_API_KEY", "SYNCER_DATABASE_URL", "SYNCER_TRUST"], " ")
    assert load(**blank) == load()


def test_defaults_are_those_of_the_design(load: Loader) -> None:
    """A source of a url alone has the documented defaults."""
    assert source("", load) == SourceSettings(
        name="default",
        url=URL,
        interval=timedelta(hours=1),
        deadline=timedelta(minutes=2),
        lease=timedelta(minutes=10),
        max_body=67108864,
        trust=True,
        removal_limit_count=10,
        removal_limit_percent=10.0,
        removal_confirmations=2,
        removal_after=timedelta(hours=26),
        patience=timedelta(days=3),
        price_after=timedelta(hours=12),
        price_factor_limit=100.0,
        revalidate_after=timedelta(hours=24),
        trust_date=True,
        format="serverless",
    )


def test_every_setting_is_read(load: Loader, tmp_path: Path) -> None:
    """Each setting of the file arrives, and paths are relative to the file's folder."""
    found = load(
        """
        database_url = "postgresql://db/prices"
        save_bodies = "bodies"
        [[sources]]
        name = "main-1"
        url = "http://127.0.0.1:8000/x"
        api_key_file = "key.txt"
        interval = "30m"
        currency = "USD"
        price_units = { input = [1000000, "token"], price = { Text = [1000000, "token"] } }
        auth = "X-Api-Key"
        headers = { anthropic-version = "2023-06-01", X-Team = { env = "TEAM" } }
        pages = "whole"
        deadline = "30s"
        max_body = 1024
        lease = "1m"
        trust = false
        removal_limit_count = 3
        removal_limit_percent = 2.5
        removal_confirmations = 1
        removal_after = "0s"
        patience = "never"
        price_after = "6h"
        revalidate_after = "2d"
        trust_date = false
        price_factor_limit = 20
        required = ["a/b"]
        [[sources]]
        name = "second"
        url = "https://x"
        api_key_env = "SECOND_KEY"
        """
    )
    assert found == Settings(
        database_url="postgresql://db/prices",
        save_bodies=str(tmp_path / "bodies"),
        path=tmp_path / "syncer.toml",
        sources=(
            SourceSettings(
                name="main-1",
                url="http://127.0.0.1:8000/x",
                api_key_file=str(tmp_path / "key.txt"),
                interval=timedelta(minutes=30),
                currency="USD",
                price_units={"input": (1000000, "token"), "price": {"Text": (1000000, "token")}},
                auth="X-Api-Key",
                headers={"anthropic-version": "2023-06-01", "X-Team": {"env": "TEAM"}},
                pages="whole",
                deadline=timedelta(seconds=30),
                max_body=1024,
                lease=timedelta(minutes=1),
                trust=False,
                removal_limit_count=3,
                removal_limit_percent=2.5,
                removal_confirmations=1,
                removal_after=timedelta(0),
                patience=None,
                price_after=timedelta(hours=6),
                revalidate_after=timedelta(days=2),
                trust_date=False,
                price_factor_limit=20.0,
                required=("a/b",),
            ),
            SourceSettings(name="second", url="https://x", api_key_env="SECOND_KEY"),
        ),
    )


def test_each_setting_of_a_source_has_a_rule() -> None:
    """No field of SourceSettings is out of a file's reach, and no rule is for nothing."""
    assert {*rules_of(SourceSettings), "formats"} == set(SourceSettings.__struct_fields__)


def test_the_environment_overrides_the_file(load: Loader) -> None:
    """SYNCER_API_URL and its key override the source `default`, SYNCER_TRUST all sources, SYNCER_DATABASE_URL too."""
    text = f"""
        database_url = "sqlite:///file.db"
        [[sources]]
        interval = "6h"
        api_key_file = "old"
        [[sources]]
        name = "other"
        url = "{URL}/other"
        """
    environ = {
        "SYNCER_API_URL": URL,
        "SYNCER_API_KEY": SECRET,
        "SYNCER_TRUST": "off",
        "SYNCER_DATABASE_URL": "mysql://h",
    }
    found = load(text, **environ)
    assert found.database_url == "mysql://h"
    assert found.sources == (
        SourceSettings(url=URL, interval=timedelta(hours=6), api_key_env="SYNCER_API_KEY", trust=False),
        SourceSettings(name="other", url=f"{URL}/other", trust=False),
    )


def test_a_cron_source_is_late_by_its_own_gaps(load: Loader) -> None:
    """With `cron` the interval, which lateness is measured by, is the longest gap of the expression, unless given."""
    weekly = source("name = 'x'\ncron = '30 6 * * 1-5'\ntimezone = 'Europe/Berlin'", load)
    assert (weekly.cron, weekly.timezone, weekly.interval) == ("30 6 * * 1-5", "Europe/Berlin", timedelta(days=3))
    assert source("name = 'x'\ncron = '7 * * * *'\ninterval = '2h'", load).interval == timedelta(hours=2)


def test_a_given_file_must_exist(tmp_path: Path) -> None:
    """--config with a missing file is an error that names it, not silence."""
    with pytest.raises(SettingsError, match=r"nope\.toml cannot be read: No such file"):
        settings.load({}, config=Path("nope.toml"), cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", ["syncer.toml", "not valid TOML", "end of document"]),
        (f"x = 1{'0' * 5000}", ["syncer.toml", "not valid TOML"]),
        ("\n\nx = yes", ["syncer.toml", "line 3"]),
        ("databse_url = 'x'", ["syncer.toml", "'databse_url'", "'database_url'"]),
        ("interval = '6h'", ["syncer.toml", "'interval'"]),
        ("[sources]\nurl = 'x'", ["[[sources]]"]),
        ("database_url = 3", ["database_url", "Expected: a text"]),
        ("[[sources]]\nname = 'a'", ["sources[0] (name 'a')", "url is missing"]),
        ("[[sources]]\nurl = 'https://a'\n[[sources]]\nurl = 'https://b'", ["Two", "'default'"]),
    ],
)
def test_a_wrong_file_says_what_and_where(load: Loader, text: str, words: list[str]) -> None:
    """An error in the file names the file or source, what was given and what is right."""
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("intervall = '6h'", ["'intervall'", "Did you mean 'interval'?"]),
        ("api_key = 'ak_5ecret'", ["'api_key'", "Did you mean 'api_key_"]),
        ("interval = 60", ["interval = 60", '"6h"']),
        ("interval = '0s'", ["interval = '0s'", "from 1s"]),
        ("interval = '1 hour'", ["'1 hour'"]),
        ("cron = '0 0 * * * *'", ["cron = '0 0 * * * *'", "has 6 fields; cron has five"]),
        ("cron = '61 * * * *'", ["cron = '61 * * * *'", "the minute '61': write 0 to 59"]),
        ("cron = '0 0 31 2 *'", ["cron = '0 0 31 2 *'", "would never fire"]),
        ("cron = 7", ["cron = 7", "five cron fields"]),
        ("timezone = 'Europe/Belrin'", ["timezone = 'Europe/Belrin'", '"Europe/Berlin"']),
        ("timezone = '../etc/passwd'", ["timezone = "]),
        ("timezone = ''", ["timezone = ''"]),
        ("lease = '31m'", ["lease = '31m'", "30m"]),
        ("deadline = '10m'", ["deadline = 10m", "shorter than lease = 10m"]),
        ("max_body = true", ["max_body = true", "whole number"]),
        ("max_body = 0", ["max_body = 0"]),
        ("max_body = 1.0", ["max_body = 1.0"]),
        ("trust = 'off'", ["trust = 'off'", "true or false"]),
        ("trust = 0", ["trust = 0"]),
        ("removal_limit_count = -1", ["removal_limit_count = -1"]),
        ("removal_limit_percent = 101", ["from 0 to 100"]),
        ("removal_limit_percent = nan", ["removal_limit_percent = nan"]),
        (f"price_factor_limit = 1{'0' * 400}", ["price_factor_limit = 1000", "above 1"]),
        ("removal_limit_percent = false", ["removal_limit_percent = false"]),
        ("removal_confirmations = 0", ["removal_confirmations = 0"]),
        ("price_factor_limit = 1", ["above 1"]),
        ("price_factor_limit = inf", ["price_factor_limit = inf"]),
        ("required = 'a'", ["list of model names"]),
        ("required = ['']", ["list of model names"]),
        ("price_units = { Text = [1, 'token'] }", ["price_units", "price component", "{price = {Text = "]),
        ("price_units = { input = 5 }", ["price_units", "quantity and word"]),
        ("price_units = { input = [0, 'token'] }", ["price_units"]),
        ("price_units = { price = [1, 'token'] }", ["price_units"]),
        ("patience = 'for ever'", ["patience = 'for ever'", '"never"']),
        ("auth = 'a b'", ["auth = 'a b'", '"bearer", "none"']),
        ("headers = { X-Api-Key = 'ak_5ecret' }", ["headers cannot be used", 'env = "NAME"']),
        ("headers = { X-Team = { env = 'ak_5ecret' } }", ["headers cannot be used", 'env = "NAME"']),
        ("headers = { 'X Team' = 'a' }", ["headers cannot be used"]),
        ("pages = 'all'", ["pages = 'all'", '"whole"']),
        ("currency = ''", ["currency = ''"]),
        ("api_key_env = 'A'\napi_key_file = 'b'", ["both"]),
        (f"currency = '{'x' * 1000}'", ["xxx..."]),
    ],
)
def test_a_wrong_setting_says_what_and_where(load: Loader, line: str, words: list[str]) -> None:
    """A refused setting is named with its source, what was given (shortened) and what is expected."""
    with pytest.raises(SettingsError) as caught:
        source(f"name = 'x'\n{line}", load)
    message = str(caught.value)
    assert all(word in message for word in ["sources[0] (name 'x')", *words]), message
    assert len(message) < 450
    assert SECRET not in message


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "x" * 65, "\u00e4", "a\n"])
def test_a_source_name_is_plain(load: Loader, name: str) -> None:
    """A name that a shell, a path or a log would stumble over is refused."""
    with pytest.raises(SettingsError, match="1 to 64 letters"):
        source(f"name = {json.dumps(name)}", load)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "api.example.com/v1",
        "https://",
        f"https://me:{SECRET}@host/v1",
        f"https://{SECRET}@host/v1",
        f"https://host:{SECRET}/v1",
        f"https://host/v1#{SECRET}",
        "https://host/a b",
        "https://[::1/v1",
        SECRET,
    ],
)
def test_a_source_url_holds_no_secret_and_no_nonsense(load: Loader, url: str) -> None:
    """Law 11: a URL that is not http(s) or carries userinfo is refused, unquoted, from file and environment."""
    for text, environ in [(f"[[sources]]\nurl = '{url}'", {}), ("", {"SYNCER_API_URL": url})]:
        with pytest.raises(SettingsError, match="url cannot be used") as caught:
            load(text, **environ)
        assert SECRET not in str(caught.value)
        assert not caught.value.__cause__


def test_trust_variable_is_on_or_off(load: Loader) -> None:
    """SYNCER_TRUST takes on and off and nothing that could be misread."""
    assert load(SYNCER_API_URL=URL, SYNCER_TRUST="ON").sources[0].trust
    with pytest.raises(SettingsError, match="on or off"):
        load(SYNCER_API_URL=URL, SYNCER_TRUST="false")


def test_select_by_name_teaches_the_nearest(load: Loader) -> None:
    """Sources are picked by name, once each; an unknown one is answered with the nearest."""
    found = load(f"[[sources]]\nname='main'\nurl='{URL}'\n[[sources]]\nname='spare'\nurl='{URL}'")
    assert [one.name for one in found.select([])] == ["main", "spare"]
    assert [one.name for one in found.select(["spare", "main", "spare"])] == ["spare", "main"]
    with pytest.raises(UsageError, match=r"no source 'mian'\. Did you mean 'main'\? Sources: main, spare\."):
        found.select(["mian"])


@pytest.mark.parametrize(
    ("text", "seconds", "short"),
    [
        ("0s", 0, "0s"),
        ("30s", 30, "30s"),
        ("90s", 90, "90s"),
        ("15m", 900, "15m"),
        ("60m", 3600, "1h"),
        ("6h", 21600, "6h"),
        ("7d", 604800, "7d"),
        ("2w", 1209600, "14d"),
    ],
)
def test_durations(text: str, seconds: int, short: str) -> None:
    """A duration is one number and one unit, and is shown as the shortest such text."""
    assert settings.parse_duration(text) == timedelta(seconds=seconds)
    assert settings.format_duration(timedelta(seconds=seconds)) == short
    assert settings.parse_duration(short) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "h", "-1h", "1.5h", "1h30m", "1 h", "1H", "\u0665h", "6h\n", "9999999999w", "9" * 5000]
)
def test_durations_of_another_form_are_refused(text: str) -> None:
    """Anything else, and what no calendar holds, is refused in a sentence."""
    with pytest.raises(SettingsError, match="is not a duration such as"):
        settings.parse_duration(text)


def test_secret_shows_itself_only_when_asked() -> None:
    """Law 11: a Secret is *** in str, repr, formatting and containers, and has no other attribute to look at."""
    secret = Secret(SECRET)
    assert secret.reveal() == SECRET
    assert f"{secret} {secret!r} {[secret]} {secret!s}" == "*** *** [***] ***"
    assert not hasattr(secret, "__dict__")


def test_the_key_is_read_when_it_is_used(tmp_path: Path) -> None:
    """A rotated key file is seen at the next observation, white space around it is not part of it."""
    path = tmp_path / "key"
    one = SourceSettings(url=URL, api_key_file=str(path))
    for key in ("first", "second"):
        path.write_text(f"  {key}\r\n")
        found = settings.read_api_key(one, {})
        assert found is not None
        assert found.reveal() == key


def test_an_open_source_has_no_key() -> None:
    """A source without a key setting gets none, not even the default one."""
    assert settings.read_api_key(SourceSettings(url=URL), {"SYNCER_API_KEY": SECRET}) is None


@pytest.mark.parametrize("value", [None, "", "  ", f"{SECRET} x", f"{SECRET}\nx", f"{SECRET}\u00e9", f"{SECRET}\x00"])
def test_a_missing_or_broken_key_names_source_and_setting(tmp_path: Path, value: str | None) -> None:
    """Law 11: a key that is missing, empty or no header value is refused without being quoted."""
    path = tmp_path / "key"
    if value is not None:
        path.write_text(value, "utf-8")
    from_env = SourceSettings(name="main", url=URL, api_key_env="MAIN_KEY")
    from_file = SourceSettings(name="main", url=URL, api_key_file=str(path))
    environ = {} if value is None else {"MAIN_KEY": value}
    for one, setting in [(from_env, "MAIN_KEY"), (from_file, "api_key_file")]:
        with pytest.raises(SettingsError) as caught:
            settings.read_api_key(one, environ)
        assert "'main'" in str(caught.value)
        assert setting in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_key_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Law 11: neither a binary file nor a key pasted where its file should be named is quoted."""
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "key", tmp_path / SECRET, tmp_path):
        with pytest.raises(SettingsError) as caught:
            settings.read_api_key(SourceSettings(url=URL, api_key_file=str(path)), {})
        assert SECRET not in str(caught.value)


def test_a_key_pasted_as_its_name_is_refused_unquoted(load: Loader) -> None:
    """Law 11: `api_key_env` takes a variable's name in capitals; a key put there is refused and not shown."""
    with pytest.raises(SettingsError, match="the NAME of an environment variable") as caught:
        source(f"api_key_env = '{SECRET}'", load)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///syncer.db", "sqlite:///syncer.db"),
        ("sqlite:///C:/a@b.db", "sqlite:///C:/a@b.db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        (f"postgresql+psycopg://me:{SECRET}@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        (f"postgresql://me:a@b:/{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://me:a?{SECRET}@host/db", "postgresql://***"),
        (f"postgresql://h/d?user=me&password={SECRET}&a=b", "postgresql://h/d?***"),
        (f"postgresql://h/d?password=a@{SECRET}", "postgresql://***"),
        (f"host=h password={SECRET}", "***"),
    ],
)
def test_a_database_url_is_shown_without_its_password(load: Loader, url: str, masked: str) -> None:
    """Law 11: no form of a database URL shows its password, in `describe` or in the repr of the settings."""
    found = load(SYNCER_DATABASE_URL=url)
    assert found.database_url == url
    assert describe(found, {})["database_url"] == masked
    assert SECRET not in repr(found)


def test_describe_is_the_effective_configuration_without_secrets(load: Loader, tmp_path: Path) -> None:
    """Law 11: `describe` is plain JSON, says whether each key is set, and holds none."""
    environ = {"SYNCER_API_URL": URL, "SYNCER_API_KEY": SECRET}
    found = load(
        f"[[sources]]\nname='b'\nurl='{URL}'\napi_key_env='B_KEY'\nprice_units={{input=[1, 'token']}}", **environ
    )
    described: dict[str, Any] = describe(found, environ)
    assert SECRET not in json.dumps(described)
    assert described["config"] == str(tmp_path / "syncer.toml")
    b, default = described["sources"]
    assert (b["name"], b["api_key_env"], b["api_key_set"]) == ("b", "B_KEY", False)
    assert (default["name"], default["api_key_env"], default["api_key_set"]) == ("default", "SYNCER_API_KEY", True)
    assert (b["removal_after"], b["deadline"], b["price_units"], b["required"]) == (
        "26h",
        "2m",
        {"input": [1, "token"]},
        [],
    )


def test_settings_are_frozen(load: Loader) -> None:
    """Nothing can change a setting once it is read."""
    assert Settings.__struct_config__.frozen
    assert SourceSettings.__struct_config__.frozen
    with pytest.raises(AttributeError):
        load().database_url = "x"  # type: ignore[misc]


# --- where things are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sqlite:///a.db", "sqlite:///{folder}/a.db"),
        ("sqlite:///./x/a b.db?timeout=5", "sqlite:///{folder}/x/a b.db?timeout=5"),
        ("sqlite+pysqlite:///../a.db", "sqlite+pysqlite:///{folder}/../a.db"),
        ("sqlite:///file:a.db?uri=true", "sqlite:///file:{folder}/a.db?uri=true"),
        ("sqlite:////var/a.db", "sqlite:////var/a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql://h/a.db", "postgresql://h/a.db"),
        (None, "sqlite:///{folder}/syncer.db"),
    ],
)
def test_a_relative_database_is_beside_the_file(tmp_path: Path, written: str | None, read: str) -> None:
    """A relative path in a file, in a SQLite URL and of the default database too, is relative to that file."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "my.toml").write_text("" if written is None else f"database_url = '{written}'")
    found = settings.load({}, config=Path("etc/my.toml"), cwd=tmp_path)
    assert found.database_url == read.format(folder=folder)
    assert settings.load({"SYNCER_DATABASE_URL": "sqlite:///a.db"}, config=Path("etc/my.toml"), cwd=tmp_path) == (
        msgspec.structs.replace(found, database_url="sqlite:///a.db")
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("other.db", "sqlite:///{cwd}/other.db"),
        ("/var/other.db", "sqlite:////var/other.db"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("sqlite:///other.db", "sqlite:///other.db"),
    ],
)
def test_a_database_of_the_command_line_wins(load: Loader, tmp_path: Path, given: str, read: str) -> None:
    """`--database` takes a URL or a path from the current directory, and wins over file and environment."""
    load("database_url = 'sqlite:///file.db'")
    found = settings.load({"SYNCER_DATABASE_URL": "sqlite:///env.db"}, cwd=tmp_path, database=given)
    assert found.database_url == read.format(cwd=tmp_path)
