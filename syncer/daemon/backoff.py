"""A database that is down: one log line when it goes, one when it is back, and few attempts in between."""

import logging

from syncer.errors import SyncerError

log = logging.getLogger("syncer.daemon")

_LONGEST_PAUSE = 15  # turns between two attempts


class DatabaseBackoff:
    """Whether the database is down, and when it is tried again: after 1, 3, 7 and then every 15 turns."""

    def __init__(self) -> None:
        self._is_down = False
        self._pause = 0
        self._turns_to_skip = 0

    def skips_turn(self) -> bool:
        """Whether this turn passes without an attempt; to be asked once a turn."""
        if self._turns_to_skip:
            self._turns_to_skip -= 1
            return True
        return False

    def note_down(self, error: SyncerError) -> None:
        """An attempt failed."""
        if not self._is_down:
            log.warning("waiting for the database: %s", error)
            self._pause = 0
        self._is_down = True
        self._pause = min(2 * self._pause + 1, _LONGEST_PAUSE)
        self._turns_to_skip = self._pause

    def note_up(self) -> None:
        """The database answered."""
        if self._is_down:
            log.warning("the database is back")
            self._is_down = False
