"""What may be shown: no part of a secret in any disguise, and all of what is none."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.http_client import escape, header_fault, redact, redact_bytes, url_secrets

KEY = "ak_0123456789abcdefSECRET+/="
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)
NOISE = st.text(st.sampled_from("\u00e9\u4e16 \n\ud800."), max_size=20)


def disguises(key: str, before: bytes) -> list[str]:
    """In what ways somebody may repeat a key, alone or packed together with what stands before it."""
    packed = base64.b64encode(before + key.encode()).decode()
    return [
        key,
        key.upper(),
        key.swapcase(),
        quote(key, safe=""),
        json.dumps(key),
        packed,
        packed.replace("+", "-").replace("/", "_"),
    ]


@given(key=KEYS, before=st.binary(max_size=5), around=st.tuples(NOISE, NOISE), whole=st.booleans())
def test_no_secret_survives_in_any_disguise(key: str, before: bytes, around: tuple[str, str], whole: bool) -> None:
    """Law 11: whatever the key, and however it is written, nothing of it but a stray letter is left; the rest stays."""
    left, right = around
    for echo in disguises(key, before):
        clean = redact(f"{left}{echo}{right}", [key, ""], whole=whole)
        assert "***" in clean
        for at in range(len(echo) - 11):
            assert echo[at : at + 12] not in clean
        kept = left if whole else left.replace("\ud800", "\ufffd\ufffd\ufffd")
        assert clean.startswith(kept)


@given(st.text(), KEYS)
def test_a_text_without_a_secret_is_the_very_same(text: str, key: str) -> None:
    """What holds no secret is handed back as it is, so that a caller may ask by identity."""
    shared = {text.lower()[at : at + 4] for at in range(len(text))} & {key.lower()[at : at + 4] for at in range(40)}
    if not shared:
        assert redact(text, [key], cut=True) is text
        assert redact(text, []) is text
    data = text.encode("utf-8", "surrogatepass")
    assert redact_bytes(data, []) is data


@pytest.mark.parametrize(
    ("text", "options", "shown"),
    [
        ("sent ak_01234567...", {}, "sent ***..."),
        ("sent ak_01234567...", {"whole": True}, "sent ak_01234567..."),
        ("sent ak_012", {}, "sent ak_012"),
        ("sent ak_012", {"cut": True}, "sent ***"),
        ("sent ak_", {"cut": True}, "sent ak_"),
        (f"{KEY}{KEY}", {}, "******"),
        (f"<{KEY.upper()}>", {"whole": True}, "<***>"),
        ("a\x00\u4e16", {}, "a\x00\u4e16"),
        ("status 500 of acme", {"secrets": ["00", "x"]}, "status 500 of acme"),
    ],
)
def test_beginnings_are_hidden_where_they_are_shown(text: str, options: dict[str, Any], shown: str) -> None:
    """Of what others say a beginning of 8 characters is hidden, at a cut one of 4; what is stored loses whole ones."""
    assert redact(text, **{"secrets": [KEY]} | options) == shown


def test_a_large_body_is_searched_quickly() -> None:
    """Thirty megabytes of rows cost about half a second, two at most on a busy machine."""
    data = b'{"model_name": "acme/large", "description": "What acme/large is good for"},' * 400_000
    began = time.monotonic()
    assert redact_bytes(data, [KEY, "another-key-of-a-source"], whole=True) is data
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("whole", [True, False])
def test_a_long_body_hides_a_secret_wherever_it_stands(whole: bool) -> None:
    """Megabytes of one secret after another: each is hidden, also where the pieces that are searched meet."""
    count = 3 * 1024 * 1024 // len(KEY)
    assert redact_bytes(f"{KEY} ".encode() * count, [KEY], whole=whole) == b"*** " * count


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (
            "https://user:pa55@hooks.example/T0/B0KEN1/x%2Fyz12?token=t0ken&v=2",
            {"hooks.example", "B0KEN1", "x%2Fyz12", "x/yz12", "t0ken", "pa55"},
        ),
        ("redis://:p%40ss@cache.example:6379/0/stream", {"p%40ss", "p@ss", "cache.example"}),
        ("mailto://me:passw/0rd12@[::1?to=chief@h.example", {"passw", "0rd12", "chief", "h.example"}),
        ("no url", set()),
    ],
)
def test_each_telling_part_of_a_secret_url_is_one(url: str, parts: set[str]) -> None:
    """Law 11: password, host, path and the values of a query are hidden; what is too short to tell anything is not."""
    hidden = url_secrets(url)
    assert {url, *parts} <= set(hidden)
    assert not {"T0", "2", "v", "0"} & set(hidden)


def test_escape_leaves_nothing_that_acts() -> None:
    """Law 12: control, format and lone surrogate characters are written out."""
    assert escape("a\x1b[2J\u202e\ud800\u00e9") == "a\\x1b[2J\\u202e\\ud800\u00e9"


@pytest.mark.parametrize("value", ["a", "a b", "", "Bearer x"])
def test_a_plain_header_has_no_fault(value: str) -> None:
    """Printable ASCII may be sent in a header of any name that is not ours."""
    assert header_fault("X-Team", value) is None
