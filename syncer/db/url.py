"""A database URL as people write it -> one that can be opened, or one sentence that says what to write.

- Nothing of a URL that is refused is repeated: a password may stand anywhere in it (law 11).
- An @ counts once, before the host. Any other is refused, as nobody can tell which of them ends the password.
- `pooler=transaction` is an option of ours: the server is reached through a pooler that shares its sessions.
"""

import re
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.engine import URL

from syncer.core.masking import HARMLESS, PLAIN, mask_url
from syncer.core.words import did_you_mean, how_to_install
from syncer.errors import SettingsError

POOLER = "pooler"
TRANSACTION = "transaction"
"""The value of `pooler`: a session lasts as long as a transaction."""

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
_SPELLINGS = {*_DRIVERS, "postgresql+psycopg", "postgres+psycopg", "sqlite+pysqlite"}
_OTHERS = ("mysql", "mariadb", "oracle", "mssql", "mongodb", "redis", "duckdb", "snowflake", "clickhouse")
_SQLITE_OPTIONS = ("mode", "uri", "cache", "vfs", "timeout")
_MEANT = "try sqlite:///syncer.db or postgresql://user@host/database"
_ESCAPES = "(@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25)"


def parse(url: str) -> URL:
    """The URL, with the driver that syncer uses; raises SettingsError, which repeats nothing of it."""
    scheme, found, rest = url.partition("://")
    if not found:
        raise SettingsError(f"database_url is not a database URL: {_MEANT}")
    _require_known_database(scheme.lower())
    if scheme.lower().startswith("sqlite"):
        _require_file(rest)
    elif rest.count("@") > 1:
        raise SettingsError(
            "database_url has more than one @: write the password with its special characters percent-encoded "
            f"{_ESCAPES}, or leave it out and put it into ~/.pgpass or PGPASSWORD"
        )
    try:
        parsed = sa.make_url(f"{scheme.lower()}://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(
            f"database_url is not a database URL: {_MEANT}; special characters of a password are percent-encoded "
            f"{_ESCAPES}"
        ) from None
    if parsed.username is not None and "@" not in re.split("[/?#]", rest, maxsplit=1)[0]:
        # An @ behind the host: the parts that were read are not the parts that were meant.
        raise SettingsError(f"database_url has an @ behind its host: write it percent-encoded {_ESCAPES}")
    parsed = parsed.set(drivername=_DRIVERS[parsed.get_backend_name()])
    _require_sound(parsed, rest)
    return parsed


def location(url: URL) -> str:
    """The URL as it may be shown (law 11)."""
    if is_sqlite(url):
        return f"sqlite:///{sqlite_path(url)}"
    return mask_url(url.render_as_string(hide_password=False))


def secrets(url: URL) -> tuple[str, ...]:
    """What of the URL is hidden in what the driver says of it."""
    texts = [url.password, *(value for name, value in _options(url) if name not in HARMLESS)]
    texts += [name for name in (url.username, url.database) if name and not PLAIN.fullmatch(name)]
    return tuple(text for text in texts if text)


def is_sqlite(url: URL) -> bool:
    """Whether it is a file, and no server."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: URL) -> Path:
    """The file of a SQLite URL."""
    name = str(url.database)
    return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)


def _require_known_database(scheme: str) -> None:
    if scheme in _SPELLINGS:
        return
    backend = scheme.partition("+")[0]
    if backend in _DRIVERS:
        raise SettingsError(f"database_url names a driver that syncer does not use: write {backend}:// without a +")
    named = f" names {backend}" if backend in _OTHERS else " names another database"
    raise SettingsError(f"database_url{named}: syncer keeps its history in sqlite or postgresql; {_MEANT}")


def _require_file(rest: str) -> None:
    path = rest.partition("?")[0]
    if not rest.startswith("/"):
        raise SettingsError(
            "database_url: the path of a SQLite file begins after three slashes, as in sqlite:///syncer.db; an "
            "absolute one has four, as in sqlite:////srv/syncer.db"
        )
    if path in {"/", "/file:", "/:memory:", "/file::memory:"}:
        raise SettingsError(
            "database_url names no SQLite file: write its path after three slashes: sqlite:///syncer.db"
        )
    if "://" in path:
        raise SettingsError(f"database_url is one URL within another: {_MEANT}")


def _require_sound(url: URL, rest: str) -> None:
    """Refuse what a driver would refuse in words of its own, or take for something else."""
    parts = (url.username, url.password, url.host, url.database, *(value for _, value in _options(url)))
    if any(re.search(r"[\x00-\x1f\x7f]", part) for part in parts if part):
        raise SettingsError("database_url holds a control character, perhaps percent-encoded: leave it out")
    if is_sqlite(url):
        _require_options(url, _SQLITE_OPTIONS)
        return
    if "@" in rest and url.username is None and url.password is None:
        raise SettingsError(f"database_url has an @ that ends no user: write it percent-encoded {_ESCAPES}")
    _require_options(url, (POOLER, *_libpq_options()))
    if url.query.get(POOLER, TRANSACTION) != TRANSACTION:
        raise SettingsError("database_url: the only value of the option pooler is transaction: ?pooler=transaction")


def _require_options(url: URL, known: tuple[str, ...]) -> None:
    for number, (name, value) in enumerate(url.query.items(), 1):
        if name not in known:  # it may be the rest of a password that holds an &: it is not repeated
            raise SettingsError(f"database_url: option {number} behind its ? is not known{did_you_mean(name, known)}")
        if not isinstance(value, str) and name not in {"host", "port"}:
            raise SettingsError(f"database_url gives the option {name} twice")


def _libpq_options() -> tuple[str, ...]:
    """What libpq takes; it would quote what it does not take."""
    try:
        from psycopg import pq
    except ImportError:  # psycopg itself, or the libpq that it needs
        raise SettingsError(f"postgresql needs the driver psycopg: {how_to_install('postgres')}") from None
    return tuple(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def _options(url: URL) -> list[tuple[str, str]]:
    """Each option and its value; one that is given twice comes twice."""
    return [
        (name, value)
        for name, values in url.query.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
