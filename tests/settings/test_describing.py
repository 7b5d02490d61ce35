"""`syncer config`: what is in force, without secrets, as TOML that says the same when it is pasted back."""

from pathlib import Path

import msgspec
import pytest

from syncer import settings
from syncer.settings.describing import describe, to_toml
from tests.settings.conftest import SECRET, URL, Loader

WHOLE = f"""
database_url = "sqlite:///data/a b.db"
save_bodies = "bodies"
heartbeat_url_env = "BEAT"
[[sources]]
name = "main"
url = "{URL}"
api_key_file = "key"
auth = "X-Api-Key"
headers = {{ anthropic-version = "2023-06-01", X-Team = {{ env = "TEAM" }} }}
interval = "90s"
cron = "7 * * * *"
timezone = "Europe/Berlin"
currency = "USD"
price_units = {{ "input@>200000" = [1, "a \\"quoted\\" \\\\ word"], price = {{ "T x" = [1, "\u00e9"] }} }}
pages = {{ offset = "skip", size = 100 }}
removal_limit_percent = 2.5
patience = "never"
price_after = "6h"
trust_date = false
required = ["a/b", "c \\u2028 d"]
[[sources]]
name = "open"
url = "https://x"
[[alerts]]
name = "job"
command = ["./on-change", "a\\tb"]
env = ["https_proxy"]
min_absolute = 0.10000000000000000001
min_percent = 5
digest = "1d"
net = true
[[alerts]]
name = "hook"
url_env = "HOOK"
secret_env = "SIGN"
kinds = ["repriced"]
[[alerts]]
name = "log"
file = "log.jsonl"
"""


def test_it_can_be_pasted_back(load: Loader, tmp_path: Path) -> None:
    """What `syncer config` prints is a syncer.toml that is read to the very same settings, wherever it then stands."""
    (tmp_path / "key").write_text(SECRET)
    before = load(WHOLE)
    printed = "\n".join(to_toml(before, {}))
    elsewhere = tmp_path / "deep" / "syncer.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(printed)
    after = settings.load({}, cwd=elsewhere.parent)
    assert msgspec.structs.replace(after, path=before.path) == before
    assert "\n".join(to_toml(after, {})).splitlines()[1:] == printed.splitlines()[1:]
    assert printed.isprintable() or printed.replace("\n", "").isprintable()


def test_the_environment_is_part_of_it(load: Loader, tmp_path: Path) -> None:
    """The source that variables make is printed like one of the file, with the name of the variable of its key."""
    environ = {"SYNCER_API_URL": URL, "SYNCER_API_KEY": SECRET, "SYNCER_TRUST": "off"}
    before = load(**environ)
    printed = "\n".join(to_toml(before, environ))
    assert SECRET not in printed
    after = load(printed)
    assert after.sources == before.sources


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (f"database_url = 'postgresql://me:{SECRET}@h/d'", "postgresql://me:***@h/d"),
        (f"database_url = 'postgresql://h/d?sslpassword={SECRET}'", "postgresql://h/d?***"),
        (f"heartbeat_url = 'https://beat.example/{SECRET}'", "***"),
        (f"[[sources]]\nurl = 'https://h/v1?a={SECRET}'", "https://h/v1?***"),
        (f"[[sources]]\nurl = 'https://h'\napi_key_file = '{SECRET}'", "***"),
        (f"[[alerts]]\nname = 'a'\nurl = 'https://h/{SECRET}'", "***"),
        (f"[[alerts]]\nname = 'a'\napprise = 'slack://{SECRET}'", "***"),
        (f"[[alerts]]\nname = 'a'\nredis = 'redis://:{SECRET}@h/x'", "***"),
    ],
)
def test_what_is_secret_is_a_comment(load: Loader, line: str, rest: str) -> None:
    """Law 11: neither form shows a password, a query, an address or a key pasted as a path; the TOML leaves it out."""
    found = load(line)
    key = line.splitlines()[-1].partition(" =")[0]
    printed = list(to_toml(found, {}))
    assert f'# {key} = "{rest}"  (it holds a secret, or may: write it yourself)' in printed
    assert SECRET not in "\n".join(printed)
    assert SECRET not in str(describe(found, {}))


def test_no_control_character_is_printed(load: Loader) -> None:
    """Law 12: a terminal escape in a setting is printed as TOML writes it."""
    found = load('[[sources]]\nurl = "http://x"\nrequired = ["\\u001b[2J \\u007f \\u0085 \\U0001F600"]')
    (line,) = [line for line in to_toml(found, {}) if line.startswith("required")]
    assert line == 'required = ["\\u001b[2J \\U0000007F \\U00000085 \U0001f600"]'
