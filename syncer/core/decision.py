"""Which changes to believe now."""

from collections.abc import Mapping

import msgspec

from syncer.core.model import Change, Listing, Mark
from syncer.core.notices import Notice
from syncer.core.rules import Evidence, Finding


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an observation."""

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
    pending: bool = False
