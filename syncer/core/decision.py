"""What a decision rests on, and what it is: the two values between reading and writing."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from syncer.core.model import Change, Listing, Mark, Snapshot, StoredModel
from syncer.core.notices import Expiring, Notice
from syncer.core.observation import Doubtful, PastObservations
from syncer.core.rules import Evidence, Finding


class DecisionInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision rests on.

    `known` holds each stored model that the snapshot had to read, that it does not show, that has a mark (missing,
    last seen, unread), or that is required or in one of the `findings`: whole states, the removed ones too. `listed`
    are the names of the whole current catalog and `priced` how many of them have a positive headline price.

    `findings` are the open and the rejected ones, and the approved and confirmed ones of the kinds `nameless` and
    `required`, whose answer goes on.

    `new_credential`: the last observation was under another key. `other_key` are those `missing_since` of models that
    are missing before which the last observation was under another key than this one. `moved_source` says what is
    another than at the last observation (the URL, the format), None if nothing is.

    `recorded` are the names, among those that the snapshot rejects or leaves over, of which rejected rows are stored
    already. `expiring` are the listed models whose `expires_at` is within 30 days after the observation;
    `expiring_after` is the end of an import: nothing is told of what expires before it.

    `trouble` is what the last notice of the source's health said, if that was bad: failed, late, cached or clock.
    `doubtful` is what this observation's own time says (see observation.py), `response_at` what time it says it is.
    """

    snapshot: Snapshot
    known: Mapping[str, StoredModel]
    listed: AbstractSet[str]
    priced: int
    past: PastObservations
    findings: tuple[Finding, ...] = ()
    new_credential: bool = False
    other_key: AbstractSet[datetime] = frozenset()
    moved_source: str | None = None
    recorded: AbstractSet[str] = frozenset()
    expiring: tuple[Expiring, ...] = ()
    expiring_after: datetime | None = None
    trouble: str | None = None
    doubtful: Doubtful | None = None
    response_at: datetime | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an observation.

    `believed` is applied in this order. `refreshed` are listings whose bytes or reading, but not whose state, are new.
    `marks` holds, by name, each mark that differs from the stored one; a model in `believed` that is not in it has an
    empty one (an added model may be in it, too).

    `opened` findings are new, `kept` maps the ids of those that hold on to their evidence as it is now, `settled` an id
    to its final state (its evidence stays as it is stored). `notices` go to the feed in this order, before the changes.

    `withheld` counts the models of which a finding withholds something, `unconfirmed` those that are missing, in no
    finding, and for whose removal it is too early. `reasons` are the sentences of all open findings, `announced` those
    of what no earlier observation withheld and what does not end by itself within `price_after`. `judges`: it could
    judge an absence. `pending`: the next observation must be read even if its bytes are the same.
    """

    believed: tuple[Change, ...] = ()
    refreshed: tuple[Listing, ...] = ()
    marks: Mapping[str, Mark] = {}
    opened: tuple[Finding, ...] = ()
    kept: Mapping[int, Evidence] = {}
    settled: Mapping[int, str] = {}
    notices: tuple[Notice, ...] = ()
    withheld: int = 0
    unconfirmed: int = 0
    reasons: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    judges: bool = True
    pending: bool = False

    @property
    def outcome(self) -> str:
        """The run's outcome: held while a finding is open."""
        if self.reasons:
            return "held"
        return "changed" if self.believed else "unchanged"
