"""Where events go: each module here makes one kind of `Sink`, a function that hands a message over or says why not.

- A sink returns once the other side has the whole message, or raises DeliveryError within its deadline: never both,
  and it keeps nothing between two messages.
- It says what the other side answered, printable and bounded (law 12), and never where that is (law 11).
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from syncer import settings
from syncer.alerts.message import Sink
from syncer.settings import AlertSettings


def sink_for(alert: AlertSettings, environ: Mapping[str, str], *, clock: Callable[[], datetime]) -> Sink:
    """The sink of an alert, with the addresses and secrets that its variables hold now.

    `clock` gives the aware present, for signatures. Raises SettingsError if a variable or an extra is missing.
    """
    target = settings.sink_target(alert, environ)
    if isinstance(target, settings.Webhook):
        from syncer.alerts.sinks import webhook

        return webhook.make(target.url, target.secrets, clock=clock)
    if isinstance(target, settings.Chat):
        from syncer.alerts.sinks import chat

        return chat.make(target.url)
    if isinstance(target, settings.Command):
        from syncer.alerts.sinks import command

        return command.make(target.argv)
    if isinstance(target, settings.File):
        from syncer.alerts.sinks import file

        return file.make(target.path)
    from syncer.alerts.sinks import redis

    return redis.make(target.url)
