"""All that an attempt at one source is made with, and what its settings mean to each part that takes part in it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer import fetch, http_client
from syncer.core.formats import CompiledFormat
from syncer.core.rules import Approval, Policy
from syncer.db import leases
from syncer.db.leases import Lease, SourceRecord
from syncer.errors import ListMoved
from syncer.settings import SourceSettings

Clock = Callable[[], datetime]
Body = bytes | bytearray
Archive = Callable[[str, datetime, Body], None]
"""Keeps the body of a response that has to be read: called with (source name, observed_at, body)."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """All that an attempt at one source is made with, handed down as one value.

    `key` is the provider's key, if there is one, and `headers` go with it; `secrets` are those of their values that are
    never shown. `owner` says who holds the lease. `approval` is what a person has just said yes to.
    """

    engine: Engine
    source: SourceSettings
    format: CompiledFormat
    clock: Clock
    owner: str
    key: str | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    archive: Archive | None = None
    approval: Approval | None = None
    kind: str = "sync"


def acquire(connection: Connection, attempt: Attempt, now: datetime) -> Lease:
    """The source's lease and an open run; raises SourceBusy where somebody else has it."""
    return leases.acquire(
        connection,
        record_of(attempt.source, attempt.format),
        kind=attempt.kind,
        owner=attempt.owner,
        now=now,
        lasts=attempt.source.lease,
        key=attempt.key,
    )


def request_of(attempt: Attempt, *, etag: str | None = None) -> fetch.Request:
    """What to ask of the provider."""
    fmt = attempt.format
    paged = fmt.pages is not None and not fmt.pages.whole

    def next_page(body: Body, url: str, number: int) -> str | None:
        from syncer.core import parse

        page = parse.next_page(fmt, body, url, number)
        return None if page is None else page.url

    def contradiction(bodies: tuple[Body, ...]) -> str | None:
        from syncer.core import parse

        try:
            parse.snapshot(bodies, fmt, observed_at=attempt.clock())
        except ListMoved as moved:
            return str(moved)
        return None

    return fetch.Request(
        url=catalog_url(attempt.source, fmt),
        key=attempt.key,
        auth=fmt.auth,
        headers=attempt.headers,
        secrets=attempt.secrets,
        etag=None if paged else etag,
        next_page=next_page if paged else None,
        contradiction=contradiction if paged else None,
    )


def catalog_url(source: SourceSettings, fmt: CompiledFormat) -> str:
    """Where the catalog is: the source's URL, and the path that the format puts behind a base URL."""
    return fetch.catalog_url(source.url, fmt.endpoint)


def policy(source: SourceSettings) -> Policy | None:
    """The source's trust settings as the rules take them; None believes everything."""
    if not source.trust:
        return None
    return Policy(**{name: getattr(source, name) for name in Policy.__struct_fields__})


def record_of(source: SourceSettings, fmt: CompiledFormat) -> SourceRecord:
    """What the database keeps of a source's settings and format."""
    return SourceRecord(
        name=source.name,
        url=fetch.public_url(catalog_url(source, fmt)) if "://" in source.url else source.url,  # "(imported)"
        format=fmt.name,
        headline=fmt.headline,
        currency=fmt.currency,
        price_units=dict(fmt.price_units) or None,
        interval=source.interval,
    )


def limits(source: SourceSettings) -> fetch.Limits:
    """What a fetch of the source may cost."""
    return fetch.Limits(deadline=source.deadline.total_seconds(), max_body=source.max_body)


def reading_digest(attempt: Attempt, credential: str | None) -> str:
    """What stored bytes hold for: another URL, key, rule, format or parser may read them differently."""
    source = attempt.source
    parts = (source.url, credential, source.trust, source.trust_date, policy(source), attempt.format.parser)
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def redacted(attempt: Attempt, text: str) -> str:
    """`text` without the key and the secret headers that an attempt is made with."""
    return http_client.redact(text, secrets_of(attempt))


def secrets_of(attempt: Attempt) -> tuple[str, ...]:
    """What is never shown of an attempt."""
    return (*((attempt.key,) if attempt.key else ()), *attempt.secrets)
