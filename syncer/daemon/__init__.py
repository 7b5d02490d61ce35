"""`syncer run`: APScheduler keeps the beat, the database keeps the state.

- Any number of daemons may share one database. Each tick of a source is taken once, together with its lease and its
  run, by whoever comes first; a daemon that dies leaves a run that is found abandoned, and its source its next tick.
- A tick that was not run is recorded as skipped, with the reason; many of them that nobody took are made up for once.
- A slow source keeps a worker, never the beat; a slow consumer keeps a thread beside, never a source.
- A database that is down is waited for, with one log line when it goes and one when it is back.
- SIGTERM and SIGINT: no new work, what runs gets a grace period; a second one gives up at once, runs closed as failed.
  SIGHUP reads the configuration again; a bad one is refused and the old one stays.

The only user of APScheduler.
"""

from syncer.daemon.loop import Daemon, Parts, run
from syncer.daemon.schedule import MOST_CRON_SPREAD, next_tick

__all__ = ["MOST_CRON_SPREAD", "Daemon", "Parts", "next_tick", "run"]
