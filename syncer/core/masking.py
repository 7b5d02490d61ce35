"""How a URL is shown, in every message, log line, page and dump: by this one function (law 11).

- No part of a password is shown, however the URL is misspelt: what is not surely harmless is masked.
- So the parts are recognized by what they may look like, and not only by where they stand.
"""

import re

MASK = "***"
PLAIN = re.compile(r"[\w.-]*")
"""What the name of a user or of a database looks like; anything else may be a misspelt password."""
HARMLESS = frozenset({
    *("host", "hostaddr", "port", "pooler", "sslmode", "gssencmode", "channel_binding", "target_session_attrs"),
    *("connect_timeout", "application_name", "load_balance_hosts", "mode", "uri", "cache", "vfs", "timeout"),
})  # fmt: skip
"""The options of a database URL that are shown with their values."""

_SCHEME = re.compile(r"(?:sqlite|postgres(?:ql)?)(?:\+(?:psycopg|pysqlite))?|https?", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.,-]*)(?::\d{0,5})?")
_VALUE = re.compile(r"[\w./,:-]*")


def mask_url(url: str) -> str:
    """A URL without its password and whatever may be a part of one. In doubt it masks too much."""
    scheme, _, rest = url.partition("://")
    if not _SCHEME.fullmatch(scheme) or scheme == url:
        return MASK
    if scheme.lower().startswith("sqlite"):
        shown = _masked_path(rest)
    else:
        is_database = scheme.lower().startswith("postgres")
        shown = _masked_place(rest, is_database=is_database)
    return f"{scheme}://{shown}"


def _masked_path(rest: str) -> str:
    """The path of a SQLite file: it begins with a slash, and is no other URL."""
    path, _, query = rest.partition("?")
    return MASK if not rest.startswith("/") or "://" in path else f"{path}{_masked_query(query)}"


def _masked_place(rest: str, *, is_database: bool) -> str:
    end = re.search(r"[/?#]|$", rest)
    authority, behind = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    account, at, host = authority.rpartition("@")
    strange = "@" in account or not _HOST.fullmatch(host)
    if strange or ("@" in behind and (is_database or at or ":" in host)):
        return MASK  # who knows where a secret begins and where it ends
    user, colon, _ = account.partition(":")
    shown = f"{_masked_name(user)}{colon and ':' + MASK}{at}{host}"
    if not is_database:
        return shown + re.sub(r"([?#]).+", rf"\1{MASK}", behind, flags=re.DOTALL)
    path, _, query = behind.partition("?")
    return f"{shown}{path[:1]}{_masked_name(path[1:])}{_masked_query(query)}"


def _masked_name(name: str) -> str:
    return name if PLAIN.fullmatch(name) else MASK


def _masked_query(query: str) -> str:
    """The options that are surely harmless; *** once for all others."""
    pairs = [part for part in query.split("&") if part]
    shown = [part for part in pairs if part.partition("=")[0] in HARMLESS and _VALUE.fullmatch(part.partition("=")[2])]
    hidden = [MASK] if len(shown) < len(pairs) else []
    return f"?{'&'.join([*shown, *hidden])}" if pairs else ""
