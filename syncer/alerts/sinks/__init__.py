"""Where events go: each module here makes one kind of `Sink`, a function that hands a message over or says why not.

- A sink returns once the other side has the whole message, or raises DeliveryError within its deadlines: never both,
  and it keeps nothing between two messages.
- It says what the other side answered, printable and bounded (law 12), and never where that is (law 11).
- A program that a sink starts gets a few usual variables of the environment and those that a person named (law 11).

A new sink is one new module here: it registers the keys that choose it, their rules, and what opens it
(syncer.settings.sinks). Nothing else names it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from syncer.alerts.message import Sink
from syncer.settings import AlertSettings
from syncer.settings.sinks import Opening


def sink_for(alert: AlertSettings, environ: Mapping[str, str], *, clock: Callable[[], datetime]) -> Sink:
    """The sink of an alert, with the addresses and secrets that its variables hold now.

    `clock` gives the aware present, for signatures. Raises SettingsError if a variable or an extra is missing.
    """
    return alert.to.open(Opening(alert.name, environ, clock))
