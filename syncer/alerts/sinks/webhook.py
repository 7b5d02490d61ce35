"""POST to an HTTP endpoint, as CloudEvents (HTTP binding 1.0.2), signed by the Standard Webhooks scheme.

- `batch`: a message is one request. `structured` and `binary`: each of its events is one, in order, and what follows
  one that did not arrive is not sent; a repeat of the message sends all of them again, each with the id it had.
- 2xx is delivered, whatever follows it; any other status is a refusal, whether or not its body ever ends.
- A redirect is never followed: what it points to was not configured, and may be a private address.
- The deadline of a request is hard (syncer.http_client); all requests of a message together have `LONGEST`.
- Neither URL nor secret nor header stands in an error or a log line (law 11), even where the other side repeats them.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

import msgspec

from syncer.alerts.message import DEADLINE, LONGEST, DeliveryError, Message, Sink
from syncer.alerts.sinks.lines import raw_events
from syncer.http_client import SUCCESS, Answer, Client, Limits, NoAnswer, Peer, header_fault, retry_after, url_secrets
from syncer.settings import rules
from syncer.settings.rules import Rule, Secret, UnfitError, choice, variable
from syncer.settings.secrets import read_field, read_named, require_field
from syncer.settings.sinks import Opening, SinkSettings, register

Mode = Literal["batch", "structured", "binary"]

_OURS = ("webhook-", "ce-", "content-type")  # headers that say what a request is


def _read_signing_secret(value: Any) -> str:  # noqa: ANN401 - TOML holds anything
    """A secret of the Standard Webhooks scheme."""
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        raise UnfitError from None
    if not 24 <= size <= 64:
        raise UnfitError
    return str(value)


_SIGNING_SECRET = rules.secret(
    Rule(
        "whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes them", _read_signing_secret
    )
)


@register
class Webhook(SinkSettings, frozen=True, kw_only=True):
    """`url` or `url_env`: where to POST, and in which `mode`.

    `secret_env` and `previous_secret_env` name the variables of the secrets that sign it; `headers_env` is header ->
    the name of the variable that holds its value.
    """

    ADDRESSES: ClassVar = ("url", "url_env")
    TOOK: ClassVar = "the webhook answered 2xx, so it took the sample"

    url: Annotated[Secret | None, rules.SECRET_URL] = None
    url_env: Annotated[str | None, variable(rules.SECRET_URL)] = None
    secret_env: Annotated[str | None, variable(_SIGNING_SECRET)] = None
    previous_secret_env: Annotated[str | None, variable(_SIGNING_SECRET)] = None
    mode: Annotated[Mode, choice("structured", "binary", "batch")] = "structured"
    headers_env: Annotated[Mapping[str, str], rules.HEADER_VARIABLES] = {}

    def find_mistake(self) -> str | None:
        """A rotation has two secrets; some headers are ours."""
        for name in self.headers_env:
            reserved = reserved_header(name)
            if reserved:
                return f"headers_env: {reserved}."
        if self.previous_secret_env is not None and self.secret_env is None:
            return "previous_secret_env is given without secret_env, the secret that is new."
        return None

    def open(self, opening: Opening) -> Sink:
        """A sink for the address, signing with the secrets that there are, the newest first."""
        whose = f"alert {opening.consumer!r}"
        secrets = [read_field(self, field, opening.environ, whose) for field in ("secret", "previous_secret")]
        return make(
            require_field(self, "url", opening.environ, whose),
            [secret for secret in secrets if secret],
            clock=opening.clock,
            mode=self.mode,
            headers=read_named(self, "headers_env", opening.environ, whose),
        )


class _Post(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `id` is the same on each repeat."""

    id: str
    headers: Mapping[str, str]
    body: bytes


def make(
    url: Secret,
    secrets: Sequence[Secret] = (),
    *,
    clock: Callable[[], datetime],
    mode: Mode = "structured",
    headers: Mapping[str, Secret] | None = None,
    deadline: timedelta = DEADLINE,
) -> Sink:
    """A sink that POSTs to `url` in this mode, signing with each of `secrets` (whsec_...).

    `headers` are those that the receiver wants besides, as `header_fault` allows. `clock` gives the aware present.
    """
    address, own = url.reveal(), {name: value.reveal() for name, value in (headers or {}).items()}
    hidden = (*url_secrets(address), *own.values(), *_keys(secrets))

    def send(message: Message) -> None:
        posts = _posts(message, mode)
        name = f"the webhook of {message.consumer!r}"
        try:
            with _client(address, name, own, hidden, deadline, len(posts)) as client:
                for number, post in enumerate(posts, 1):
                    where = name + (f" (event {number} of {len(posts)})" if len(posts) > 1 else "")
                    signed = {**post.headers, **_signed(post, secrets, clock())}
                    answer = client.send(
                        address,
                        method="POST",
                        content=post.body,
                        headers=signed,
                        unread=SUCCESS,
                        within=deadline.total_seconds(),
                    )
                    _judge(answer, client, where, clock())
        except NoAnswer as error:
            raise DeliveryError(str(error)) from None

    return send


def reserved_header(name: str) -> str | None:
    """Why a header of the user's cannot be sent to a webhook, as the end of a sentence; None if it can."""
    if name.lower().startswith(_OURS):
        return f"the header {name} says what the request is, and is set by syncer itself; remove it"
    return header_fault(name)


def signature(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature of the Standard Webhooks scheme: `v1,` and base64."""
    key = base64.b64decode(secret.reveal().removeprefix("whsec_"))
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def _keys(secrets: Iterable[Secret]) -> Iterator[str]:
    for secret in secrets:
        yield secret.reveal()
        yield secret.reveal().removeprefix("whsec_")


# --- what is sent ----------------------------------------------------------------------------------------------------


def _posts(message: Message, mode: Mode) -> list[_Post]:
    if mode == "batch":
        kind = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
        return [_Post(id=message.id, headers=kind, body=message.body)]
    make_post = _structured if mode == "structured" else _binary
    return [
        make_post(f"{message.id}-{event['id']}", raw)
        for event, raw in zip(message.events, raw_events(message), strict=True)
    ]


def _structured(post_id: str, event: bytes) -> _Post:
    """The event as the body: structured content mode."""
    return _Post(id=post_id, headers={"Content-Type": "application/cloudevents+json; charset=utf-8"}, body=event)


def _binary(post_id: str, event: bytes) -> _Post:
    """The data as the body, each attribute as a header: binary content mode."""
    attributes = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    data = bytes(attributes.pop("data", msgspec.Raw(b"null")))
    plain = {name: str(msgspec.json.decode(raw)) for name, raw in attributes.items()}
    kind = {"Content-Type": plain.pop("datacontenttype", "application/json")}
    return _Post(id=post_id, headers=kind | {f"ce-{name}": _as_header(plain[name]) for name in plain}, body=data)


def _as_header(value: str) -> str:
    """Percent-encoded as the HTTP binding says (3.1.3.2): all but printable ASCII, and space, quote and percent."""
    safe = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
    return quote(value, safe=safe, errors="replace")


def _signed(post: _Post, secrets: Sequence[Secret], now: datetime) -> dict[str, str]:
    """The headers of the Standard Webhooks scheme; without a secret there is no signature."""
    timestamp = str(int(now.timestamp()))
    stamped = {"webhook-id": post.id, "webhook-timestamp": timestamp}
    signatures = " ".join(signature(secret, post.id, timestamp, post.body) for secret in secrets)
    return stamped | ({"webhook-signature": signatures} if signatures else {})


def _client(
    address: str, name: str, headers: Mapping[str, str], hidden: Iterable[str], deadline: timedelta, requests: int
) -> Client:
    seconds = deadline.total_seconds()
    peer = Peer(name=name, check="its URL", slow="check that it is up, and answers before it works")
    longest = seconds if requests == 1 else max(seconds, LONGEST.total_seconds())
    limits = Limits(connect=seconds + 1, read=seconds + 1, deadline=longest)
    return Client(address, peer, limits, headers=headers, secrets=hidden, thread="syncer-webhook")


# --- what came of it -----------------------------------------------------------------------------------------------


def _judge(answer: Answer, client: Client, where: str, now: datetime) -> None:
    """Raise for any status but 2xx."""
    status, said = answer.status, client.said(answer)
    if status in SUCCESS:
        return
    advice = client.login_advice if status == 407 else None
    wait = retry_after(answer.headers.get("retry-after"), now) if status in {429, 503} else 0.0
    raise DeliveryError(
        f"{client.called(where)} answered with status {status}: {advice or _advice(status)}"
        + (f" (it says: {said})" if said else ""),
        retry_after=timedelta(seconds=wait) if wait else None,
        gone=status == 410,
    )


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "a redirect, which is not followed; set the address that it points to"
    known = {
        401: "it does not accept the signature, a header or the address; check the secret, headers_env and the URL",
        403: "it does not accept the signature, a header or the address; check the secret, headers_env and the URL",
        404: "nothing listens at this address; check the URL",
        410: "it is gone and wants no more messages",
        413: "the message is too large for it",
        415: "it does not read this form of CloudEvents; set another mode (batch, structured or binary)",
        429: "too many messages",
    }
    return known.get(status, "it has a problem" if status >= 500 else "only 2xx means delivered")
