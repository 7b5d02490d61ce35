"""POST to an HTTP endpoint: one message is one request, signed by the Standard Webhooks scheme if there is a secret.

- 2xx is delivered, whatever follows it; any other status is a refusal, whether or not its body ever ends.
- A redirect is never followed: what it points to was not configured, and may be a private address.
- The deadline is hard (syncer.http_client); an answer costs at most `_EXCERPT_READ` bytes.
- Neither URL nor secret stands in an error or a log line (law 11), even where the other side repeats them.
"""

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit

import msgspec

from syncer import http_client
from syncer.alerts.message import DEADLINE, DeliveryError, Message, Sink
from syncer.settings import rules
from syncer.settings.rules import Rule, Secret, UnfitError, secret, variable
from syncer.settings.secrets import read_field, require_field
from syncer.settings.sinks import Opening, SinkSettings, register

if TYPE_CHECKING:
    import httpx

_EXCERPT_READ = 4096
_EXCERPT_SHOWN = 200
_EXCERPT_SECONDS = 1.0
_SHORTEST_SECRET = 5  # a shorter part of a URL gives nothing away, and blotting it would spoil every sentence


def _read_signing_secret(value: Any) -> str:  # noqa: ANN401 - TOML holds anything
    """A secret of the Standard Webhooks scheme."""
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        raise UnfitError from None
    if not 24 <= size <= 64:
        raise UnfitError
    return str(value)


_SIGNING_SECRET = secret(
    Rule(
        "whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes them", _read_signing_secret
    )
)


@register
class Webhook(SinkSettings, frozen=True, kw_only=True):
    """`url` or `url_env`: where to POST; the variables of the secrets that sign it, and of headers that go with it."""

    ADDRESSES: ClassVar = ("url", "url_env")
    TOOK: ClassVar = "the webhook answered 2xx, so it took the sample"

    url: Annotated[Secret | None, rules.SECRET_URL] = None
    url_env: Annotated[str | None, variable(rules.SECRET_URL)] = None
    secret_env: Annotated[str | None, variable(_SIGNING_SECRET)] = None
    previous_secret_env: Annotated[str | None, variable(_SIGNING_SECRET)] = None

    def find_mistake(self) -> str | None:
        """A rotation has two secrets."""
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
        )


class _Answer(msgspec.Struct, kw_only=True):
    """What came back; `said` grows while the body is read."""

    status: int
    retry_after: str | None
    said: bytes = b""


def make(
    url: Secret, secrets: Sequence[Secret], *, clock: Callable[[], datetime], deadline: timedelta = DEADLINE
) -> Sink:
    """A sink that POSTs to `url`, signing with each of `secrets` (whsec_...); `clock` gives the aware present."""

    def send(message: Message) -> None:
        hidden = _hidden(url.reveal(), secrets)
        seconds = deadline.total_seconds()
        headers = _headers(message, secrets, clock())
        answers: list[_Answer] = []
        line = http_client.OpenConnection()
        error, late = http_client.run_with_deadline(
            time.monotonic() + seconds,
            lambda: _post(url.reveal(), message.body, headers, line, answers, timeout=seconds + 1),
            line.abort,
            name="syncer-webhook",
        )
        where = f"the webhook of {message.consumer!r}"
        if answers:
            _judge(answers[0], where, hidden, clock())
        elif late:
            raise DeliveryError(
                f"{where} did not answer within {seconds:g} s; check that it is up, and answers before it works"
            )
        elif error is not None:
            raise _unsent(error, where, hidden) from None

    return send


def signature(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature of the Standard Webhooks scheme: `v1,` and base64."""
    key = base64.b64decode(secret.reveal().removeprefix("whsec_"))
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def _headers(message: Message, secrets: Iterable[Secret], now: datetime) -> dict[str, str]:
    from syncer import __version__

    timestamp = str(int(now.timestamp()))
    signatures = " ".join(signature(secret, message.id, timestamp, message.body) for secret in secrets)
    return {
        "User-Agent": f"syncer/{__version__}",
        "Content-Type": "application/cloudevents-batch+json; charset=utf-8",
        "Accept-Encoding": "identity",  # an answer is never unpacked
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
    } | ({"webhook-signature": signatures} if signatures else {})


def _post(
    url: str,
    body: bytes,
    headers: dict[str, str],
    line: http_client.OpenConnection,
    answers: list[_Answer],
    *,
    timeout: float,
) -> None:
    """Put what comes back into `answers` as soon as the status is known: a body that never ends changes nothing."""
    try:
        secure = url.lower().startswith("https:")
        with (
            http_client.open_client(headers, secure=secure, connect=timeout, read=timeout) as client,
            client.stream("POST", url, content=body, extensions={"trace": line.trace}) as response,
        ):
            answer = _Answer(status=response.status_code, retry_after=response.headers.get("retry-after"))
            answers.append(answer)
            if not response.is_success:
                _listen(response, answer)
    finally:
        line.close()


def _listen(response: "httpx.Response", answer: _Answer) -> None:
    """The beginning of what a refusal says, as far as it comes in time."""
    import httpx

    until = time.monotonic() + _EXCERPT_SECONDS
    with suppress(httpx.HTTPError, httpx.StreamError, OSError):
        for piece in response.iter_raw():
            answer.said = (answer.said + piece)[:_EXCERPT_READ]
            if len(answer.said) >= _EXCERPT_READ or time.monotonic() > until:
                return


# --- what came of it -----------------------------------------------------------------------------------------------


def _judge(answer: _Answer, where: str, hidden: Sequence[str], now: datetime) -> None:
    """Raise for any status but 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return
    said = _excerpt(answer.said, hidden)
    wait = http_client.retry_after(answer.retry_after, now) if status in {429, 503} else 0.0
    raise DeliveryError(
        f"{where} answered with status {status}: {_advice(status)}" + (f" (it says: {said})" if said else ""),
        retry_after=timedelta(seconds=wait) if wait else None,
        gone=status == 410,
    )


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "a redirect, which is not followed; set the address that it points to"
    known = {
        401: "it does not accept the signature or the address; check the secret and the URL",
        403: "it does not accept the signature or the address; check the secret and the URL",
        404: "nothing listens at this address; check the URL",
        410: "it is gone and wants no more messages",
        413: "the message is too large for it",
        429: "too many messages",
    }
    return known.get(status, "it has a problem" if status >= 500 else "only 2xx means delivered")


def _unsent(error: BaseException, where: str, hidden: Sequence[str]) -> BaseException:
    """The DeliveryError for what httpx raised; a bug keeps its traceback."""
    import httpx

    if not isinstance(error, (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)):
        return error
    reason = http_client.escape(http_client.redact(str(error), hidden)[:_EXCERPT_SHOWN]) or type(error).__name__
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause:
        return DeliveryError(
            f"{where} shows a certificate that cannot be trusted: {reason}; "
            "a private authority is named by SSL_CERT_FILE or SSL_CERT_DIR"
        )
    return DeliveryError(f"{where} cannot be reached: {reason}; check its URL, that it is up, and the network")


def _excerpt(said: bytes, hidden: Sequence[str]) -> str:
    text = http_client.redact(said.decode("utf-8", "replace"), hidden).strip()
    return http_client.escape(text[:_EXCERPT_SHOWN]) + ("..." if len(text) > _EXCERPT_SHOWN else "")


def _hidden(url: str, secrets: Iterable[Secret]) -> list[str]:
    """What is blotted out: the URL, each of its parts that may be what makes it secret, and the signing secrets."""
    parts = urlsplit(url)
    pieces = [parts.netloc, parts.hostname or "", parts.path, parts.query, *parts.path.split("/")]
    pieces += [value for pair in parts.query.split("&") for value in pair.split("=")]
    pieces += [unquote(piece) for piece in pieces]
    keys = [key for secret in secrets for key in (secret.reveal(), secret.reveal().removeprefix("whsec_"))]
    return [url, *keys, *(piece for piece in pieces if len(piece) >= _SHORTEST_SECRET)]
