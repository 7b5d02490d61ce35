"""The field table: one line a field, held equal to the struct beside it; what each reader takes for what."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.core import fields, prices
from syncer.core.model import TRACKED, Tracked

_FIRST, _LAST = datetime.fromisoformat("2001-09-10"), datetime.fromisoformat("2089-12-30")
READ = {field.name: field.read for field in fields.FIELDS}


def test_the_struct_and_the_table_are_one() -> None:
    """Tracked has the fields of FIELDS, in their order."""
    assert tuple(field.name for field in msgspec.structs.fields(Tracked)) == TRACKED


def test_the_digest_names_names_types_and_readers() -> None:
    """Another name, column type or reader version is another parser; a comment is not."""
    first, *rest = fields.FIELDS
    changed: list[dict[str, Any]] = [{"name": "x"}, {"column": "text"}, {"version": 2}]
    digests = {fields.digest((msgspec.structs.replace(first, **change), *rest)) for change in changed}
    assert len(digests | {fields.digest()}) == 4
    assert fields.digest((msgspec.structs.replace(first, comment="x"), *rest)) == fields.digest()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-09-01", "2026-09-01T00:00:00"),
        ("2026-9-1", "2026-09-01T00:00:00"),
        ("2026-09-01T10:30:00Z", "2026-09-01T10:30:00"),
        ("2026-09-01 10:30:00.5+02:00", "2026-09-01T08:30:00.500000"),
        ("2026-09-01T10:30", "2026-09-01T10:30:00"),
        (1787394690, "2026-08-22T10:31:30"),
        ("1787394690", "2026-08-22T10:31:30"),
        (Decimal("1787394690.25"), "2026-08-22T10:31:30.250000"),
        ({"year": 2026, "month": 9, "day": 1}, "2026-09-01T00:00:00"),
        ({"year": 2026, "month": 9}, "2026-09-01T00:00:00"),
        (0, None),
        ("0", None),
        ("", None),
        ("2089-12-31", "2089-12-31T00:00:00"),
        ("2090-01-01", None),
        ("2098-12-31T00:00:00Z", None),
        (4070908800, None),
        (10**30, None),
        ({"year": 0, "month": 0, "day": 0}, None),
    ],
)
def test_when_a_model_goes(sent: Any, read: str | None) -> None:
    """Instants, dates, unix seconds and objects of a date; 0 and a year of 2090 or later are no end."""
    moment = READ["expires_at"](sent)
    assert moment == (None if read is None else datetime.fromisoformat(read).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "sent",
    ["soon", "2026-13-01", "2026-02-30", "0000-01-01", "2026-01-01T25:00", -1, 20260901, True, [1], {"year": "x"}],
)
def test_what_is_no_time(sent: Any) -> None:
    """A word, a day that is not in the calendar or a number that is no time cannot be read, which is not "never"."""
    with pytest.raises(ValueError, match=r"^(is|stands|has) "):
        READ["expires_at"](sent)


@given(st.datetimes(_FIRST, _LAST), st.integers(-14 * 60, 14 * 60))
def test_any_instant_reads_back(moment: datetime, minutes: int) -> None:
    """An instant with any offset is that instant in UTC."""
    offset = timedelta(minutes=minutes)
    sign, rest = ("-" if minutes < 0 else "+"), divmod(abs(minutes), 60)
    text = f"{(moment + offset).isoformat()}{sign}{rest[0]:02}:{rest[1]:02}"
    assert READ["expires_at"](text) == moment.replace(tzinfo=UTC)


def test_text_and_pages() -> None:
    """A list of texts is read sorted and joined; a bare repository is the address of its page."""
    assert READ["type"](["text", "image"]) == "image+text"
    assert READ["type"]([]) is None
    assert READ["huggingface_url"]("acme/one-1.5") == "https://huggingface.co/acme/one-1.5"
    assert READ["huggingface_url"]("https://huggingface.co/acme/one") == "https://huggingface.co/acme/one"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("input", True),
        ("cache_write_1h", True),
        ("input@>200000", True),
        ("input@" + "x" * 40, True),
        ("input@" + "x" * 41, False),
        ("input@", False),
        ("Input", False),
        ("in put", False),
        ('input@"', False),
        ("input@a.b", False),
        ("input@a\\b", False),
        ("", False),
    ],
)
def test_what_a_component_can_be_called(name: str, right: bool) -> None:
    """Small letters, digits and underscores, and a suffix that needs no quoting anywhere."""
    assert prices.is_component(name) is right


@given(st.decimals(min_value=-(10**6), max_value=10**6, allow_nan=False, places=12), st.integers(-12, 6))
def test_scaling_is_exact(number: Decimal, power: int) -> None:
    """Law 4: a published number times a power of ten, then canonical, is what its digits say."""
    unit = prices.Unit(factor=Decimal(1).scaleb(power), of="image")
    exact = Decimal(f"{number:f}e{power}")
    try:
        wanted = prices.canonical(exact)
    except ValueError:
        with pytest.raises(ValueError, match="too small"):
            prices.price(number, unit.shift, unit.varies)
    else:
        assert prices.price(number, unit.shift, unit.varies) == wanted
        assert prices.price(f"{number:f}", unit.shift, unit.varies) == wanted
