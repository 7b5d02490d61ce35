"""One poll: ask upstream what it shows, and say when it showed it. Nothing is written, no transaction is open."""

from datetime import datetime
from hashlib import blake2b

import msgspec

from syncer import fetch, http_client
from syncer.attempt import Attempt, Body, limits, reading_digest, request_of, secrets_of
from syncer.core.observation import NO_WITNESS, Witness, observed_at
from syncer.db.leases import Lease
from syncer.db.results import Shortcut

_SHORTEST_SECRET = 8  # what is shorter (EMPTY, none, test) is customary where no key is asked for, and stands in names


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A response and its time. `bodies` are its pages, `witness` what it says of its own time.

    `is_unchanged`: it is the last clean response, byte for byte, and that still holds: then there are no `bodies`.
    `partial` is what its head says against the list's being whole. `shortcut` is what the source keeps of it while
    nothing is pending. `expiring_after`: nothing is told of what expires before (an import's own end).
    """

    bodies: tuple[Body, ...]
    at: datetime
    shortcut: Shortcut
    is_unchanged: bool = False
    status: int | None = None
    witness: Witness = NO_WITNESS
    partial: str | None = None
    expiring_after: datetime | None = None

    @property
    def shown_at(self) -> datetime:
        """When upstream itself showed it: before a cache kept it."""
        return self.at - self.witness.age


def poll(attempt: Attempt, lease: Lease, *, usable: bool) -> Observation:
    """Fetch the catalog, and date it; unconditionally where the stored bytes are not `usable`."""
    response = fetch.fetch(
        request_of(attempt, etag=lease.etag if usable else None), clock=attempt.clock, limits=limits(attempt.source)
    )
    return observation_of(attempt, lease, response, stored_at=lease.stored_at if usable else None)


def observation_of(
    attempt: Attempt, lease: Lease | None, response: fetch.Response, *, stored_at: datetime | None = None
) -> Observation:
    """A response as an observation; raises ClockError where its time cannot be right (law 5).

    `stored_at` is when the stored bytes were read, if they are usable.
    """
    witness = Witness(date=response.date, **({} if response.age is None else {"age": response.age}))
    last = lease.last_time if lease else None
    at = observed_at(response.received_at, last, witness, trust_date=attempt.source.trust_date)
    not_modified = response.status == 304 and lease is not None
    shortcut = Shortcut(
        etag=response.etag or (lease.etag if not_modified and lease else None),
        body_digest=str(lease.body_digest) if not_modified and lease else body_digest(*response.bodies),
        stored_with=reading_digest(attempt, lease.credential if lease else None),
        stored_at=stored_at or at,
    )
    is_unchanged = stored_at is not None and lease is not None and shortcut.body_digest == lease.body_digest
    bodies = () if is_unchanged else without_secrets(attempt, response.bodies)
    return Observation(
        bodies=bodies, at=at, shortcut=shortcut, is_unchanged=is_unchanged, status=response.status, witness=witness,
        partial=response.partial,
    )  # fmt: skip


def body_digest(*pages: Body) -> str:
    """The fingerprint of a whole response, in hex: equal bytes need not be read again."""
    digest = blake2b(digest_size=16)
    for page in pages:  # not joined: that would be another copy of each body
        digest.update(page)
    return digest.hexdigest()


def is_usable(attempt: Attempt, lease: Lease) -> bool:
    """Whether the bytes of the last clean response still say what this one would: read alike, and not too long ago."""
    if lease.body_digest is None or lease.stored_at is None:
        return False
    fresh = attempt.clock() - lease.stored_at < attempt.source.revalidate_after
    return fresh and lease.stored_with == reading_digest(attempt, lease.credential)


def without_secrets(attempt: Attempt, bodies: tuple[Body, ...]) -> tuple[Body, ...]:
    """The bodies with *** for each key that upstream echoes in them, so that it is never stored, kept or printed.

    They stay the very objects that they are if there is none, and JSON if there is.
    """
    secrets = tuple(
        secret for secret in secrets_of(attempt) if len(secret) >= _SHORTEST_SECRET and not secret.isdigit()
    )
    return tuple(http_client.redact_bytes(body, secrets, whole=True) for body in bodies) if secrets else bodies
