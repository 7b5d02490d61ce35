"""`syncer run`: APScheduler turns the loop, the database keeps the state.

- Any number of daemons may share one database. Each tick of a source is taken once, together with its lease and its
  run, by whoever comes first; a daemon that dies leaves a run that is found abandoned, and its source its next tick.
- A tick that was not run is recorded as skipped, with the reason; of many that nobody took one is made up for.
- A slow source occupies a worker and a slow consumer a thread of its own; neither delays the loop or anything else.
- A database that is down is waited for, with one log line when it goes and one when it is back. A SQLite file that is
  deleted or replaced is noticed at the next turn: the daemon never goes on writing to a file that nobody sees.
- The loop waits by the monotonic clock: a wall clock that is set, back or forth, is noticed and costs no poll.
- SIGTERM and SIGINT: no new work, and what runs gets a grace period; a second one gives up at once. The runs that are
  given up are closed as abandoned, and nobody is notified. SIGHUP reads the configuration again; a bad one is refused.

The only user of APScheduler.
"""

from syncer.daemon.dependencies import Dependencies
from syncer.daemon.liveness import Liveness
from syncer.daemon.loop import Daemon
from syncer.daemon.process import run
from syncer.daemon.schedule import MOST_CRON_SPREAD, next_tick

__all__ = ["MOST_CRON_SPREAD", "Daemon", "Dependencies", "Liveness", "next_tick", "run"]
