"""Append the events to a Redis stream (extra `redis`): one entry an event, with the fields `id` and `event` (its JSON).

- A message is one MULTI/EXEC: all of its events are in the stream, or none.
- At least once: a repeat appends entries with the same `id`, the event's, by which a reader knows them.
- redis-py's timeouts are per read, so the deadline is that of syncer.http_client; it retries nothing by itself.
"""

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.alerts.sinks.lines import raw_events
from syncer.core.words import how_to_install
from syncer.errors import SettingsError
from syncer.settings.rules import Rule, Secret, UnfitError, secret, variable
from syncer.settings.secrets import require_field
from syncer.settings.sinks import Opening, SinkSettings, register

if TYPE_CHECKING:
    from redis import Redis

_SHOWN = 200


def _read_url(value: Any) -> str:  # noqa: ANN401 - TOML holds anything
    if not isinstance(value, str) or not re.fullmatch(r"rediss?://[!-~]+", value):
        raise UnfitError
    try:
        parts = urlsplit(value)
        good = parts.hostname and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        raise UnfitError from None
    # A path of digits alone is a database by the custom of Redis URLs: the stream was forgotten.
    if not good or not re.fullmatch(r"(/[0-9]{1,4})?/(?![0-9]+$)[A-Za-z0-9._:-]{1,200}", parts.path):
        raise UnfitError
    return value


_URL = secret(Rule("redis://host/stream, with a port or a database if need be: rediss://host:6380/2/stream", _read_url))


@register
class RedisStream(SinkSettings, frozen=True, kw_only=True):
    """`redis` or `redis_env`: redis[s]://[user:password@]host[:port]/[database/]stream."""

    ADDRESSES: ClassVar = ("redis", "redis_env")
    TOOK: ClassVar = "Redis appended the sample to the stream"

    redis: Annotated[Secret | None, _URL] = None
    redis_env: Annotated[str | None, variable(_URL)] = None

    def open(self, opening: Opening) -> Sink:
        """A sink for the stream."""
        return make(require_field(self, "redis", opening.environ, f"alert {opening.consumer!r}"))


def make(url: Secret, *, deadline: timedelta = DEADLINE) -> Sink:
    """A sink for redis[s]://[user:password@]host[:port]/[database/]stream. Raises SettingsError without the extra."""
    try:
        import redis
    except ImportError:
        raise SettingsError(f"Alerts to Redis need an extra: {how_to_install('redis')}.") from None
    stream = urlsplit(url.reveal()).path.rpartition("/")[2]

    def send(message: Message) -> None:
        where = f"the Redis stream of {message.consumer!r}"
        ends_at = time.monotonic() + deadline.total_seconds()
        client = _client(url.reveal(), deadline.total_seconds())
        error, late = http_client.run_with_deadline(
            ends_at, lambda: _add(client, stream, message), client.connection_pool.disconnect, name="syncer-redis"
        )
        if late or isinstance(error, redis.TimeoutError):  # whichever of the two clocks ends first
            raise DeliveryError(f"{where} did not answer within {deadline.total_seconds():g} s; check that it is up")
        if isinstance(error, (redis.RedisError, OSError, ValueError)):
            reason = http_client.escape(http_client.redact(str(error), http_client.url_secrets(url.reveal()))[:_SHOWN])
            raise DeliveryError(f"{where} took nothing: {reason}; check that it is up, its user and its memory")
        if error is not None:
            raise error

    return send


def _client(url: str, timeout: float) -> "Redis":
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    parts = urlsplit(url)
    database = parts.path.rpartition("/")[0].strip("/")
    return Redis(
        host=parts.hostname or "",
        port=parts.port or 6379,
        db=int(database or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ssl=parts.scheme == "rediss",
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def _add(client: "Redis", stream: str, message: Message) -> None:
    with client, client.pipeline(transaction=True) as pipeline:
        for event, raw in zip(message.events, raw_events(message), strict=True):
            pipeline.xadd(stream, {"id": str(event["id"]), "event": raw})
        pipeline.execute()
