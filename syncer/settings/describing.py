"""The effective configuration, secrets masked: as plain values for programs, as TOML that can be pasted back.

- Nothing secret is shown (law 11): no password, no query string of a URL, no address to which alerts go, and no path of
  a key file that is not there (people paste the key itself).
- In the TOML such a line is a comment: pasted back, it is missing and asked for, never taken for the real value.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

import msgspec

from syncer.errors import SettingsError
from syncer.settings.model import AlertSettings, Settings, SourceSettings
from syncer.settings.reading import rules_of
from syncer.settings.rules import Masked
from syncer.settings.secrets import read_api_key, readings


def describe(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """The effective configuration as plain JSON values, secrets masked.

    `api_key_set` and `address_set` say if the key, or the address and its secrets, can be read now.
    """
    return {
        "config": None if settings.path is None else str(settings.path),
        **_plain(settings),
        "sources": [_plain(source) | {"api_key_set": _has_key(source, environ)} for source in settings.sources],
        "alerts": [
            {"name": alert.name, **_plain(alert.to), **_plain(alert), "address_set": _has_address(alert, environ)}
            for alert in settings.alerts
        ],
        "formats": settings.formats,
    }


def to_toml(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """The effective configuration, line by line, as a syncer.toml that says the same."""
    yield f"# {_quoted(str(settings.path))} and the environment over it" if settings.path else "# from the environment"
    yield from _lines(_plain(settings))
    for source in settings.sources:
        yield from ("", "[[sources]]", *_lines(_plain(source)))
        if not _has_key(source, environ):
            yield (
                "# no key can be read for it now" if source.api_key_env or source.api_key_file else "# it needs no key"
            )
    for alert in settings.alerts:
        plain = {"name": alert.name, **_plain(alert.to), **_plain(alert)}
        yield from ("", "[[alerts]]", *_lines(plain))
        if not _has_address(alert, environ):
            yield "# its address cannot be read now"
    for name, table in settings.formats.items():
        yield from ("", f"[formats.{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items()))


# --- values -----------------------------------------------------------------------------------------------------------


def _plain(table: msgspec.Struct) -> dict[str, Any]:
    """The fields that are keys of the file, as their rules show them."""
    return {field: rule.shown(getattr(table, field)) for field, rule in rules_of(type(table)).items()}


def _lines(plain: Mapping[str, Any]) -> Iterator[str]:
    for name, value in plain.items():
        if isinstance(value, Masked):
            yield f"# {name} = {_value(value)}  (it holds a secret, or may: write it yourself)"
        elif value not in (None, [], {}):
            yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:  # noqa: ANN401
    """A value in TOML, on one line."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    """A TOML string that holds no sign which a terminal could obey (law 12)."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08X}" for sign in shown)


def _has_key(source: SourceSettings, environ: Mapping[str, str]) -> bool:
    try:
        return read_api_key(source, environ) is not None
    except SettingsError:
        return False


def _has_address(alert: AlertSettings, environ: Mapping[str, str]) -> bool:
    try:
        for _, read_now in readings(alert.to, environ, alert.name):
            read_now()
    except SettingsError:
        return False
    return True
