"""A source's format: built in or a table of the file, with what the source says laid over it."""

from pathlib import Path

import pytest

from syncer import settings
from syncer.core import formats
from syncer.errors import SettingsError
from syncer.settings import SourceSettings, format_of, read_headers
from syncer.settings.checking import check
from syncer.settings.describing import to_toml
from tests.settings.conftest import SECRET, URL, Loader

ACME = """
[formats.acme]
url = "https://api.acme.example/v1/models"
models = "data"
name = "id"
auth = "X-Api-Key"
headers = { X-Version = "1", X-Org = { env = "ORG" } }
unit = { per = 1, of = "token" }
headline = "input"
[formats.acme.fields]
alias = "name"
[formats.acme.prices]
input = "pricing.prompt"
output = "pricing.completion"
"""


def test_a_format_that_brings_its_url_needs_no_other(load: Loader) -> None:
    """The url of a source is its format's, built in or of the file, unless it has its own."""
    found = load(f'{ACME}[[sources]]\nname = "a"\nformat = "acme"\n[[sources]]\nname = "b"\nformat = "openrouter"')
    assert [source.url for source in found.sources] == [
        "https://api.acme.example/v1/models",
        formats.builtin("openrouter").url,
    ]
    assert load(f'{ACME}[[sources]]\nurl = "{URL}"\nformat = "acme"').sources[0].url == URL


def test_a_format_without_a_url_needs_one(load: Loader) -> None:
    """The default format belongs to no provider: a source of it without a url is refused."""
    for written in ("", 'format = "serverless"'):
        with pytest.raises(SettingsError, match="url is missing"):
            load(f"[[sources]]\nname = 'a'\n{written}")


def test_what_a_source_says_lies_over_its_format(load: Loader) -> None:
    """auth, headers (whatever their case), pages, currency and units of a source win over the format's."""
    plain, own = load(
        ACME
        + """
        [[sources]]
        name = "plain"
        format = "acme"
        [[sources]]
        name = "own"
        url = "https://proxy.example/models"
        format = "acme"
        auth = "bearer"
        headers = { x-org = "mine", X-More = "2" }
        pages = "whole"
        currency = "EUR"
        price_units = { output = [1000, "word"] }
        """
    ).sources
    base, over = format_of(plain), format_of(own)
    assert (base.auth, base.pages, base.currency) == ("X-Api-Key", None, None)
    assert (over.url, over.auth, over.currency) == ("https://proxy.example/models", "bearer", "EUR")
    assert over.pages is not None
    assert over.pages.whole
    assert [(header.name, header.value) for header in over.headers] == [
        ("X-Version", "1"),
        ("x-org", "mine"),
        ("X-More", "2"),
    ]
    assert over.price_units == {**base.price_units, "output": (1000, "word")}
    assert over.parser == base.parser, "how it is asked for changes no reading"
    assert format_of(SourceSettings(url=URL)).name == "serverless"


def test_a_headers_variable_is_read_when_it_is_used(load: Loader) -> None:
    """A header in a variable is a Secret; a missing one is named with its source, and without what it should hold."""
    source = load(f'{ACME}[[sources]]\nname = "a"\nformat = "acme"').sources[0]
    read = read_headers(source, {"ORG": SECRET})
    assert read["X-Version"] == "1"
    assert SECRET not in repr(read)
    assert isinstance(read["X-Org"], settings.Secret)
    assert read["X-Org"].reveal() == SECRET
    with pytest.raises(SettingsError, match=r"The variable ORG \(the header X-Org of source 'a'\) is not set or empty"):
        read_headers(source, {})


@pytest.mark.parametrize(
    ("written", "line", "words"),
    [
        (
            '[[sources]]\nurl = "http://x"\nformat = "openruter"',
            3,
            "there is no format 'openruter'. Did you mean 'openrouter'?",
        ),
        ('[formats.a]\nmodels = "data"\nname = 5\n[formats.a.prices]\ninput = "p"', 3, "formats.a.name"),
        (
            '[formats.a]\nextends = "openai"\n[formats.a.prices]\ninput = { path = "p", per = 3 }',
            4,
            "formats.a.prices.input",
        ),
        (
            "[[sources]]\nformat = 'openrouter'\npages = { next = 'a', size = 1 }",
            3,
            "sources[0] (name 'default'): formats.",
        ),
        ('[formats."a b"]\nmodels = "data"', 1, "the name 'a b' cannot be used"),
        ('[[sources]]\nname = "x"\nformat = "a"\n[formats.a]\nmodel = "data"', 5, "formats.a.model"),
    ],
)
def test_a_wrong_format_is_found_where_it_stands(tmp_path: Path, written: str, line: int, words: str) -> None:
    """A mistake in a format's table, and a name that no format has, is told once, with its line."""
    (tmp_path / "syncer.toml").write_text(written)
    (found,) = check({}, cwd=tmp_path)
    assert found.startswith(f"{tmp_path / 'syncer.toml'}:{line}: ")
    assert words in found


def test_formats_can_be_pasted_back(load: Loader) -> None:
    """`syncer config` prints the tables of formats as they were written."""
    before = load(f'{ACME}[[sources]]\nname = "a"\nformat = "acme"\npages = "whole"')
    after = load("\n".join(to_toml(before, {})))
    assert after == before


# --- SYNCER_FORMAT ----------------------------------------------------------------------------------------------------


def test_a_format_is_a_whole_set_up(load: Loader) -> None:
    """SYNCER_FORMAT alone makes a source of that name; a format that asks for no key gets none unless there is one."""
    (found,) = load(SYNCER_FORMAT="openrouter").sources
    expected = None if formats.builtin("openrouter").auth == "none" else "SYNCER_API_KEY"
    assert (found.name, found.format, found.api_key_env) == ("openrouter", "openrouter", expected)
    assert found.url == formats.builtin("openrouter").url
    assert load(SYNCER_FORMAT="openrouter", SYNCER_API_KEY=SECRET).sources[0].api_key_env == "SYNCER_API_KEY"


def test_with_a_url_it_is_the_format_of_the_default_source(load: Loader) -> None:
    """Beside SYNCER_API_URL, and over a file, SYNCER_FORMAT is the format of the source `default`."""
    (found,) = load(SYNCER_API_URL=URL, SYNCER_FORMAT="openai").sources
    assert (found.name, found.url, found.format) == ("default", URL, "openai")
    (found,) = load(f"[[sources]]\nurl = '{URL}'", SYNCER_FORMAT="openai").sources
    assert (found.name, found.url, found.format) == ("default", URL, "openai")


def test_it_is_the_source_of_the_file_that_has_its_name(load: Loader) -> None:
    """A source of the file that is called as the format is the one that is meant, not a twin of it."""
    (found,) = load(
        "[[sources]]\nname = 'openrouter'\nformat = 'openrouter'\ninterval = '2h'", SYNCER_FORMAT="openrouter"
    ).sources
    assert settings.format_duration(found.interval) == "2h"


def test_an_unknown_format_of_the_environment_is_refused(load: Loader) -> None:
    """A name that no format has is refused with the nearest."""
    with pytest.raises(
        SettingsError, match=r"SYNCER_FORMAT: there is no format 'openruter'\. Did you mean 'openrouter'"
    ):
        load(SYNCER_FORMAT="openruter")
    with pytest.raises(SettingsError, match="SYNCER_FORMAT = 'a/b' cannot be used"):
        load(SYNCER_FORMAT="a/b")
