"""Where events go: each module here makes one kind of `Sink`, a function that hands a message over or says why not.

- A sink returns once the other side has the whole message, or raises DeliveryError within its deadline: never both,
  and it keeps nothing between two messages.
- It says what the other side answered, printable and bounded (law 12), and never where that is (law 11).
- A program that a sink starts finds no key of syncer's in its environment (law 11).
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from syncer.alerts.message import Sink
from syncer.settings import AlertSettings, Chat, Command, File, Settings, Webhook, sink_target

_KEY = "SYNCER_API_KEY"  # the database URL stays: a script may well ask syncer what else there is to know


def sink_for(
    settings: Settings, alert: AlertSettings, environ: Mapping[str, str], *, clock: Callable[[], datetime]
) -> Sink:
    """The sink of an alert, with the addresses and secrets that its variables hold now.

    `clock` gives the aware present, for signatures. Raises SettingsError if a variable or an extra is missing.
    """
    target = sink_target(alert, environ)
    if isinstance(target, Webhook):
        from syncer.alerts.sinks import webhook

        return webhook.make(target.url, target.secrets, clock=clock)
    if isinstance(target, Chat):
        from syncer.alerts.sinks import chat

        return chat.make(target.url, without_keys(environ, settings))
    if isinstance(target, Command):
        from syncer.alerts.sinks import command

        return command.make(target.argv, without_keys(environ, settings))
    if isinstance(target, File):
        from syncer.alerts.sinks import file

        return file.make(target.path)
    from syncer.alerts.sinks import redis

    return redis.make(target.url)


def without_keys(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment but for each variable that holds a key: those that a setting ending in `_env` names, too."""
    tables = (settings, *settings.sources, *settings.alerts)
    named = {getattr(table, field) for table in tables for field in table.__struct_fields__ if field.endswith("_env")}
    return {name: value for name, value in environ.items() if name not in {_KEY, *named}}
