"""What a daemon is made of: everything that touches the world is handed in."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Engine

from syncer.attempt import Archive, Attempt
from syncer.daemon.liveness import Liveness
from syncer.settings import AlertSettings, Settings, SourceSettings, format_of

Clock = Callable[[], datetime]


class Dependencies(msgspec.Struct, frozen=True, kw_only=True):
    """Where a daemon reads, writes and reports; what has a default may be left out.

    `load` reads the configuration; `with_credentials` adds a source's key and headers to an attempt; `deliver` delivers
    to one consumer of the settings in force what it has not been sent; `nightly` is done once a UTC day. `on_turn` is
    called about once a second while the daemon is well; `on_cycle`, after each minute in which runs ended, with whether
    the latest run of every source was good; `on_reload` with the settings that are in force from then on; `on_state`
    with what a supervisor wants to know, in the words of `syncer.systemd`. `stopping` is set by the first signal.
    """

    engine: Engine
    load: Callable[[], Settings]
    with_credentials: Callable[[Attempt], Attempt]
    clock: Clock
    owner: str
    workers: int = 8
    grace: timedelta = timedelta(seconds=30)
    archive: Archive | None = None
    deliver: Callable[[Settings, AlertSettings], object] | None = None
    nightly: Callable[[], object] | None = None
    on_turn: Callable[[], object] = lambda: None
    on_cycle: Callable[[bool], object] | None = None
    on_reload: Callable[[Settings], object] = lambda _: None
    on_state: Callable[..., object] = lambda *_: None
    liveness: Liveness = msgspec.field(default_factory=Liveness)
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)

    def attempt(self, source: SourceSettings) -> Attempt:
        """What an attempt at a source is made with, but for its key."""
        return Attempt(
            engine=self.engine,
            source=source,
            format=format_of(source),
            clock=self.clock,
            owner=self.owner,
            archive=self.archive,
        )
