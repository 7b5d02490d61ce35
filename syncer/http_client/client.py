"""One client: sends to one origin, within one deadline, and says in a sentence why no answer came."""

import logging
import ssl
import sys
import time
import zlib
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from syncer.http_client.answer import Answer, Limits, NoAnswer, Peer
from syncer.http_client.bodies import EXCERPT_READ, UnreadableEncodingError, decoded, read_excerpt
from syncer.http_client.deadline import OpenConnection, run_with_deadline
from syncer.http_client.proxies import Proxy, login_advice, proxy_for, refused_by_proxy
from syncer.http_client.redaction import escape, redact

if TYPE_CHECKING:
    import httpx  # at run time only where something is sent: it costs 0.1 s to import

# httpx imports its own command line, if it can, and with that rich and pygments: a quarter of its start-up, never used.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: "there is no such module"


_EXCERPT_SHOWN = 200


class Client:
    """Sends to one origin, within one deadline that begins now, over one connection at a time.

    `url` is any URL of that origin; `headers` go with every request; `secrets` are never shown. Raises NoAnswer if the
    environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        url: str,
        peer: Peer,
        limits: Limits,
        *,
        headers: Mapping[str, str],
        secrets: Iterable[str] = (),
        thread: str,
    ) -> None:
        from syncer import __version__

        self._peer, self._limits, self._thread = peer, limits, thread
        self._ends_at = time.monotonic() + limits.deadline
        self._proxy = proxy_for(url)
        self._secrets = (*secrets, *(self._proxy.secrets if self._proxy else ()))
        self._is_secure = url.lower().startswith("https:")
        # Only gzip is asked for, as only gzip can be decoded in bounded steps with the standard library.
        self._headers = {"User-Agent": f"syncer/{__version__}", "Accept-Encoding": "gzip", **headers}
        self._connection = OpenConnection()
        self._httpx: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def login_advice(self) -> str | None:
        """What to do if a 407 comes: the proxy asks who we are."""
        return login_advice(self._proxy) if self._proxy else None

    @property
    def time_left(self) -> float:
        """Seconds until the deadline; none are left where it is negative."""
        return self._ends_at - time.monotonic()

    def called(self, name: str) -> str:
        """The name of the other side, with the proxy on the way to it if there is one."""
        return f"{name} ({self._proxy.via})" if self._proxy else name

    def said(self, answer: Answer) -> str:
        """The beginning of what the answer says, safe to show; "" if it says nothing."""
        text = redact(bytes(answer.body[:EXCERPT_READ]).decode("utf-8", "replace"), self._secrets, cut=True).strip()
        return escape(text[:_EXCERPT_SHOWN]) + ("..." if len(text) > _EXCERPT_SHOWN else "")

    def send(
        self,
        url: str,
        *,
        method: str = "GET",
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        whole: Container[int] = (),
        unread: Container[int] = (),
        room: int | None = None,
        within: float | None = None,
    ) -> Answer:
        """One request and its answer, within the deadline and, if given, `within` seconds from now.

        The body of a status in `whole` is read whole, up to `room` bytes (default: the limit); that of one in `unread`
        and of a redirect not at all; of any other an excerpt. A status that is not in `whole` decides as soon as it
        has come, whether or not its body ever ends. Raises NoAnswer.
        """
        seconds = self._limits.deadline if within is None else min(within, self._limits.deadline)
        ends_at = self._ends_at if within is None else min(self._ends_at, time.monotonic() + within)
        arrived: list[Answer] = []
        room = self._limits.max_body if room is None else room
        receive = partial(self._receive, arrived=arrived, whole=whole, unread=unread, room=room)
        request = {"method": method, "url": url, "content": content, "headers": headers}
        work = partial(self._exchange, request, receive, ends_at)
        self._connection.status = None
        error, late = run_with_deadline(ends_at, work, self._connection.abort, name=self._thread)
        failure = None if error is None else self._explained(error)
        is_bug = failure is not None and not isinstance(failure, NoAnswer)
        if arrived and arrived[0].status not in whole and not is_bug:
            return arrived[0]
        if late:
            raise self._late(seconds)
        if failure is not None:
            raise failure from None  # what httpx and h11 say of a request may quote it
        return arrived[0]

    def _exchange(
        self, request: Mapping[str, Any], receive: Callable[["httpx.Response"], None], ends_at: float
    ) -> None:
        """In a thread of its own."""
        connect = max(min(self._limits.connect, ends_at - time.monotonic()), 0.001)
        timeout, trace = _timeout(connect, self._limits.read), self._connection.trace
        try:
            with self._open().stream(**request, timeout=timeout, extensions={"trace": trace}) as response:
                receive(response)
        finally:
            if self._connection.is_aborted:  # nobody waits for this thread any more
                self._close()

    def _open(self) -> "httpx.Client":
        if self._httpx is None:
            self._httpx = _open_httpx(self._headers, self._proxy, self._peer, is_secure=self._is_secure)
        return self._httpx

    def _close(self) -> None:
        self._connection.close()
        if self._httpx is not None:
            self._httpx.close()

    def _receive(
        self,
        response: "httpx.Response",
        arrived: list[Answer],
        whole: Container[int],
        unread: Container[int],
        room: int,
    ) -> None:
        status = self._connection.status = response.status_code
        headers = dict(response.headers)
        answer = Answer(url=str(response.request.url), status=status, headers=headers, body=bytearray())
        arrived.append(answer)
        if status in whole:
            self._read_whole(response, answer, room)
        elif status not in unread and not response.has_redirect_location:
            read_excerpt(response, answer.body)

    def _read_whole(self, response: "httpx.Response", answer: Answer, room: int) -> None:
        name = self.called(self._peer.name)
        try:
            for piece in decoded(response):
                answer.body.extend(piece)
                if len(answer.body) > room:
                    together = ", with the pages before it" if room < self._limits.max_body else ""
                    raise NoAnswer(
                        f"the answer of {name} is larger than {self._limits.max_body} bytes (decoded{together}), which "
                        f"nothing that belongs there is expected to be; check {self._peer.check}",
                        status=answer.status,
                    )
        except UnreadableEncodingError as error:
            raise NoAnswer(f"{name} sent {error}", status=answer.status) from None
        except zlib.error as error:
            raise NoAnswer(
                f"{name} sent a body that is not the gzip it claims to be: {error}", status=answer.status
            ) from None
        except EOFError:
            raise NoAnswer(
                f"{name} sent a gzip body that ends too early", is_transient=True, status=answer.status
            ) from None

    # What went wrong, in words.

    def _late(self, seconds: float) -> NoAnswer:
        status = self._connection.status
        so_far = "nothing came" if status is None else f"status {status} came, and not the whole answer"
        return NoAnswer(
            f"{self.called(self._peer.name)} did not finish within the deadline of {seconds:g} s ({so_far}); "
            f"{self._peer.slow}",
            status=status,
        )

    def _explained(self, error: BaseException) -> BaseException:
        """The NoAnswer for what httpx raised; a bug keeps its traceback."""
        import httpx

        known = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)
        if not isinstance(error, known):
            return error
        name, status = self.called(self._peer.name), self._connection.status
        reason = self._reason(error)
        if isinstance(error, httpx.ProxyError) and self._proxy:
            return refused_by_proxy(self._proxy, self._peer.name, reason)
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return self._unconnected(error, reason)
        if isinstance(error, httpx.TimeoutException):
            return NoAnswer(f"{name} was silent for {self._limits.read:g} s", is_transient=True, status=status)
        unusable = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, ValueError)
        if isinstance(error, unusable) and not isinstance(error, OSError):
            return NoAnswer(f"{name} cannot be asked: {reason}; check {self._peer.check}", status=status)
        return NoAnswer(f"the connection to {name} broke: {reason}", is_transient=True, status=status)

    def _reason(self, error: BaseException) -> str:
        return escape(redact(str(error), self._secrets)[:_EXCERPT_SHOWN]) or type(error).__name__

    def _unconnected(self, error: "httpx.ConnectError | httpx.ConnectTimeout", reason: str) -> NoAnswer:
        """No connection: to the proxy, if the way leads through one and it has not yet opened the tunnel."""
        name, then = self._peer.name, f"check {self._peer.check} and the network"
        if self._proxy and not self._connection.is_tunnelled:
            name, then = f"the proxy {self._proxy.shown} on the way to {name}", self._proxy.advice
        return _unconnected(error, name, then, f"{self._limits.connect:g} s", reason)


def _unconnected(error: BaseException, name: str, then: str, limit: str, reason: str) -> NoAnswer:
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        return NoAnswer(f"no connection to {name} within {limit}; {then}", is_transient=True)
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NoAnswer(
            f"{name} shows a certificate that cannot be trusted: {reason}; "
            "a private authority is named by SSL_CERT_FILE or SSL_CERT_DIR"
        )
    if cause:
        return NoAnswer(
            f"no TLS with {name}: {reason}; its port may speak no TLS (http:// instead of https://): {then}",
            is_transient=True,
        )
    return NoAnswer(f"cannot connect to {name}: {reason}; {then}", is_transient=True)


def _timeout(connect: float, read: float) -> "httpx.Timeout":
    import httpx

    return httpx.Timeout(read, connect=connect)


def _open_httpx(headers: Mapping[str, str], proxy: "Proxy | None", peer: Peer, *, is_secure: bool) -> "httpx.Client":
    """A client of httpx that takes CA bundles from the environment, and neither proxies nor a netrc."""
    import httpx

    for name in ("httpx", "httpcore"):  # they log whole URLs and headers (law 11)
        logging.getLogger(name).setLevel(logging.WARNING)
    through_tls = proxy is not None and proxy.is_secure
    try:
        # Loading CA certificates takes 20 to 50 ms, a context without them 0.5: for http:// it trusts nobody.
        context = httpx.create_ssl_context() if is_secure or through_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except (OSError, ValueError):
        raise NoAnswer(
            f"{peer.name} cannot be asked: the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read; "
            "name a readable PEM file, or unset the variable"
        ) from None
    way = httpx.Proxy(proxy.url, ssl_context=context if through_tls else None) if proxy else None
    return httpx.Client(headers=headers, transport=httpx.HTTPTransport(verify=context, proxy=way), trust_env=False)
