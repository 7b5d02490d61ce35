"""`checking.check`: every mistake at once, each with its file, its line and what to write."""

from pathlib import Path

import pytest

from syncer.errors import SettingsError
from syncer.settings import load
from syncer.settings.checking import check
from tests.settings.conftest import SECRET, URL

WRONG = f"""\
databse_url = "x"
heartbeat_url_env = "BEAT"

[[sources]]
name = "a"
url = "{URL}"
interval = 60
patience = "soon"

[[sources]]
name = "b"
intervall = "1h"

[[sources]]
name = "c"
url = "{URL}"
api_key_env = "C_KEY"

[[alerts]]
name = "team"
file = "x"
kinds = [
  "repricd",
]

[[alerts]]
url_env = "HOOK"
"""

FOUND = [
    (1, "there is no setting 'databse_url'. Did you mean 'database_url'?"),
    (7, "sources[0] (name 'a'): interval = 60 cannot be used. Expected: a duration such as"),
    (8, "sources[0] (name 'a'): patience = 'soon' cannot be used. Expected: "),
    (12, "sources[1] (name 'b'): there is no setting 'intervall'. Did you mean 'interval'?"),
    (10, "sources[1] (name 'b'): url is missing. Expected: http:// or https://"),
    (22, "alerts[0] (name 'team'): kinds = ['repricd'] cannot be used. Expected: a list of some of added"),
    (26, "alerts[1]: name is missing. Expected: 1 to 64 letters"),
    (2, "The variable BEAT (heartbeat_url_env) is not set or empty."),
    (17, "There is no API key for source 'c': the variable C_KEY (api_key_env of source 'c') is not set or empty."),
]


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    """One check names each mistake of a file, and what its variables lack, with file and line."""
    path = tmp_path / "syncer.toml"
    path.write_text(WRONG)
    found = check({}, cwd=tmp_path)
    assert len(found) == len(FOUND)
    for mistake, (line, words) in zip(found, FOUND, strict=True):
        assert mistake.startswith(f"{path}:{line}: {words}"), mistake


def test_a_command_names_the_first_and_how_to_see_the_others(tmp_path: Path) -> None:
    """Where settings are used, one sentence is enough; it says how many more there are."""
    (tmp_path / "syncer.toml").write_text(WRONG)
    with pytest.raises(SettingsError, match=r"'databse_url'.* \(6 more: `syncer config --check` lists all\)"):
        load({}, cwd=tmp_path)


def test_a_right_configuration_has_no_mistake(tmp_path: Path) -> None:
    """A file that can be used, with all that it names, is without mistakes; so is no configuration at all."""
    assert check({}, cwd=tmp_path) == []
    (tmp_path / "syncer.toml").write_text(
        f'[[sources]]\nurl = "{URL}"\napi_key_env = "KEY"\n[[alerts]]\nname = "a"\nurl_env = "HOOK"'
    )
    assert check({"KEY": SECRET, "HOOK": "https://hook.example/x"}, cwd=tmp_path) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\na = b", "syncer.toml:2 is not valid TOML: Invalid value (at line 2"),
        (
            "[[alerts]]\nname = 'a'\nurl_env = 'HOOK'",
            "syncer.toml:3: The variable HOOK (url_env of alert 'a') is not set",
        ),
        (
            "[[sources]]\nurl = 'http://x'\napi_key_file = 'no'",
            "syncer.toml:3: The api_key_file of source 'default' cannot",
        ),
        (
            "[[sources]]\nurl = 'http://x'\ndeadline = '10m'",
            "syncer.toml:3: sources[0] (name 'default'): deadline = 10m",
        ),
        ("[[sources]]\nurl = 'http://x'\nlease = '1m'", "syncer.toml:3: sources[0] (name 'default'): deadline = 2m"),
        ("[[alerts]]\nname = 'a'\nfile = 'x'\nurl_env = 'A'", "syncer.toml:4: alerts[0] (name 'a'): file and url_env"),
        ("sources = [{url = 'http://x', max_body = 0}]", "syncer.toml:1: sources[0] (name 'default'): max_body = 0"),
        ("formats = 3", "syncer.toml:1: formats must be tables, each under a line [formats.NAME]"),
    ],
)
def test_each_mistake_has_its_line(tmp_path: Path, text: str, words: str) -> None:
    """A mistake between two keys, in an inline table, or in a variable, is placed where one would mend it."""
    (tmp_path / "syncer.toml").write_text(text)
    (found,) = check({}, cwd=tmp_path)
    assert words in found


def test_a_variable_of_the_environment_has_no_line(tmp_path: Path) -> None:
    """What SYNCER_* says wrongly is named by the variable."""
    found = check({"SYNCER_API_URL": f"ftp://{SECRET}", "SYNCER_TRUST": "maybe"}, cwd=tmp_path)
    assert [mistake.partition(" cannot")[0] for mistake in found] == ["SYNCER_API_URL: url", "SYNCER_TRUST = 'maybe'"]
    assert SECRET not in "".join(found)
