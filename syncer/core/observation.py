"""When an observation of a source happened, and what earlier ones prove about it."""

from datetime import datetime

import msgspec


class PastObservations(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier runs of the source saw, as far as a change's window needs it."""

    last: datetime | None = None
    last_shown: datetime | None = None
    judged: datetime | None = None
