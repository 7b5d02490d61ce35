"""A database that is down: one log line when it goes, one when it is back, and few questions in between."""

import logging

from syncer.errors import SyncerError

log = logging.getLogger("syncer.daemon")

_LONGEST_PAUSE = 15  # beats between two looks


class DatabaseBackoff:
    """Whether there is one, and when the database is looked for again: after 1, 3, 7 and then every 15 beats."""

    def __init__(self) -> None:
        self._is_on = False
        self._pause = 0
        self._beats_to_skip = 0

    def skips_beat(self) -> bool:
        """Whether this beat passes without a look for the database; to be asked once a beat."""
        if self._beats_to_skip:
            self._beats_to_skip -= 1
            return True
        return False

    def note_down(self, error: SyncerError) -> None:
        """A look was in vain."""
        if not self._is_on:
            log.warning("waiting for the database: %s", error)
            self._pause = 0
        self._is_on = True
        self._pause = min(2 * self._pause + 1, _LONGEST_PAUSE)
        self._beats_to_skip = self._pause

    def note_up(self) -> None:
        """The database answered."""
        if self._is_on:
            log.warning("the database is back")
            self._is_on = False
