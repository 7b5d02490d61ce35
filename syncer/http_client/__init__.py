"""The HTTP client: catalogs, webhooks and the heartbeat go through it, and nothing else imports httpx.

- The deadline is hard: it ends a slow name look-up, connect, TLS handshake, head and body alike.
- A body is bounded: at most one piece beyond the limit on decoded bytes is ever decoded. Of a refusal an excerpt is
  read, for a second at most.
- A redirect is never followed here: whoever sends decides whether it leads to where the secrets may go.
- What the other side says is shown printable (law 12) and without the secrets that it may repeat (law 11).
- The proxy comes from the environment and is named in each sentence that it has a part in, without its password.
- No answer is one NoAnswer, whose text is a whole sentence: what happened, to whom, what to do next.
"""

import base64
import json
import logging
import re
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

if TYPE_CHECKING:
    import httpx  # at run time only where something is sent: it costs 0.1 s to import

# httpx imports its own command line, if it can, and with that rich and pygments: a quarter of its start-up, never used.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: "there is no such module"

log = logging.getLogger(__name__)

SUCCESS = range(200, 300)
LONGEST_RETRY_AFTER = 10**9  # 31 years in seconds: the sum with any present date is still a date
_PIECE = 256 * 1024
_EXCERPT_READ = 4096
_EXCERPT_SHOWN = 200
_EXCERPT_SECONDS = 1.0

Result = TypeVar("Result")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may cost. `connect` bounds a connect or TLS handshake, `read` one silence, in seconds.

    `deadline` bounds all that one client sends together, in seconds; `max_body` one body, in decoded bytes.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0
    max_body: int = 64 * 1024 * 1024


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The other side as sentences speak of it: its `name`, which setting to `check`, and what to do if it is `slow`."""

    name: str
    check: str
    slow: str


class NoAnswer(Exception):  # noqa: N818 - what happened, for the caller to judge
    """No usable answer came; the text is a sentence without a secret.

    `is_transient`: another attempt may end otherwise. `status` is the last one seen, None if none came.
    """

    def __init__(self, message: str, *, is_transient: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.status = status


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from `url`. Header names are lower-case.

    `body` is the whole decoded body of a status that was wanted; of any other it is what an excerpt needs.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytearray


# --- one client ----------------------------------------------------------------------------------------------------


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
        return _login_advice(self._proxy) if self._proxy else None

    @property
    def time_left(self) -> float:
        """Seconds until the deadline; none are left where it is negative."""
        return self._ends_at - time.monotonic()

    def called(self, name: str) -> str:
        """The name of the other side, with the proxy on the way to it if there is one."""
        return f"{name} ({self._proxy.via})" if self._proxy else name

    def said(self, answer: Answer) -> str:
        """The beginning of what the answer says, safe to show; "" if it says nothing."""
        text = redact(bytes(answer.body[:_EXCERPT_READ]).decode("utf-8", "replace"), self._secrets, cut=True).strip()
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

        def work() -> None:
            timeout = max(min(self._limits.connect, ends_at - time.monotonic()), 0.001)
            try:
                with self._open().stream(
                    method,
                    url,
                    content=content,
                    headers=headers,
                    timeout=_timeout(timeout, self._limits.read),
                    extensions={"trace": self._connection.trace},
                ) as response:
                    self._receive(response, arrived, whole, unread, self._limits.max_body if room is None else room)
            finally:
                if self._connection.is_aborted:  # nobody waits for this thread any more
                    self._close()

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
            _read_excerpt(response, answer.body)

    def _read_whole(self, response: "httpx.Response", answer: Answer, room: int) -> None:
        name = self.called(self._peer.name)
        try:
            for piece in _decoded(response):
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
            return _refused_by_proxy(self._proxy, self._peer.name, reason)
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


# --- bodies --------------------------------------------------------------------------------------------------------

_GZIP = frozenset({"gzip", "x-gzip"})
_COMPRESSIONS = {  # the registered ones (IANA), in words; any other "encoding", as utf-8 or none, compresses nothing
    "br": "Brotli",
    "zstd": "Zstandard",
    "deflate": "deflate",
    "compress": "compress",
    "x-compress": "compress",
    "dcb": "Brotli with a dictionary",
    "dcz": "Zstandard with a dictionary",
    "exi": "EXI",
    "pack200-gzip": "pack200",
    "aes128gcm": "encryption",
}


class UnreadableEncodingError(ValueError):
    """A body in an encoding that cannot be read; the text is what was sent, and what to do."""


def _decoded(response: "httpx.Response") -> Iterator[bytes]:
    """The body in pieces of bounded size.

    Not httpx's own decoding: that makes 64 MiB of one read of gzip zeros, and 64 GiB of it if they are packed twice.
    """
    named = [word.strip().lower() for word in response.headers.get("content-encoding", "").split(",")]
    packed = [word for word in named if word in _GZIP or word in _COMPRESSIONS]
    if not packed:
        return response.iter_raw()
    if len(packed) == 1 and packed[0] in _GZIP:
        return _gunzipped(response.iter_raw())
    words = "gzip more than once" if _GZIP.issuperset(packed) else " and ".join(_COMPRESSIONS.get(w, w) for w in packed)
    raise UnreadableEncodingError(
        f"a body packed with {words} (content encoding '{escape(', '.join(packed)[:50])}'), which cannot be read; only "
        "gzip was asked for, so it, or a cache on the way, has to be told to send gzip or plain JSON"
    )


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Raises zlib.error for what is no gzip and EOFError for one that ends too early.

    Zeros between and after its members are padding, as gzip itself takes them.
    """
    member = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = zlib.decompressobj(wbits=31)
            yield member.decompress(rest, _PIECE)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise EOFError


def _read_excerpt(response: "httpx.Response", body: bytearray) -> None:
    """The beginning of what a refusal says, as far as it comes in time; never a failure of its own."""
    import httpx

    until = time.monotonic() + _EXCERPT_SECONDS
    with suppress(httpx.HTTPError, httpx.StreamError, UnreadableEncodingError, OSError, EOFError, zlib.error):
        for piece in _decoded(response):
            body.extend(piece[:_EXCERPT_READ])
            if len(body) >= _EXCERPT_READ or time.monotonic() > until:
                return


# --- the deadline --------------------------------------------------------------------------------------------------


def run_with_deadline(
    ends_at: float, work: Callable[[], Result], abort: Callable[[], None], *, name: str
) -> tuple[Result | BaseException | None, bool]:
    """What `work` returned or raised (None: neither yet), and whether it was late; `ends_at` is time.monotonic().

    It runs in a thread of its own, called `name`, that the deadline leaves behind: httpx's timeouts are per read, so a
    byte a second outlives them all, and nothing can interrupt a name look-up. `abort`, called if it has not ended, ends
    the connection and each one still to come: a thread that reads ends at once, one in a look-up or connect ends
    later, without an effect.
    """
    outcome: list[Result | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is handed to the caller's thread
            outcome.append(error)

    worker = threading.Thread(target=run, name=name, daemon=True)
    worker.start()
    late = True
    try:
        worker.join(max(ends_at - time.monotonic(), 0.0))
        late = worker.is_alive()
    finally:  # also when a signal ends the wait
        if late:
            abort()
            worker.join(0.5)
    return (outcome[0] if outcome else None), late


class OpenConnection:
    """The TCP connection of a client, held so that another thread can abort it, and the last status seen on it.

    httpx tells of the connection through its `trace` extension (tried on httpx 0.28.1, httpcore 1.0.9). A duplicate
    of the socket is kept: TLS detaches the one that is told, and shutdown works through any duplicate, in the midst
    of a handshake, of a head and of a body.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.is_tunnelled = False
        self.is_aborted = False
        self._lock = threading.Lock()
        self._held: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpx calls at each step of a request."""
        if event == "connection.connect_tcp.started":
            self.is_tunnelled = False
        elif event == "connection.connect_tcp.complete":
            self._hold(info["return_value"].get_extra_info("socket"))
        elif event == "proxy.start_tls.started":  # the proxy has opened the way to the other side
            self.is_tunnelled = True

    def abort(self) -> None:
        """End the connection, and each one that is still to come."""
        with self._lock:
            self.is_aborted = True
            self._shut_down()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._held:
                self._held.close()
            self._held = None

    def _hold(self, connection: socket.socket) -> None:
        self.close()
        with self._lock:
            self._held = connection.dup()
            if self.is_aborted:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._held:
            with suppress(OSError):  # it has ended by itself
                self._held.shutdown(socket.SHUT_RDWR)


# --- proxies -------------------------------------------------------------------------------------------------------


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy on the way to an origin: its `url` with user and password, and how sentences speak of it."""

    url: str
    shown: str
    variable: str

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken with the proxy itself."""
        return self.shown.startswith("https:")

    @property
    def via(self) -> str:
        """The proxy as part of the way to somebody else."""
        return f"through the proxy {self.shown} of {self.variable}"

    @property
    def advice(self) -> str:
        """What to do if it does not let anything through."""
        return f"correct {self.variable}, or exclude the host with NO_PROXY"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the proxy's URL is never shown, also as it travels: "user:password" in base64."""
        parts = urlsplit(self.url)
        if not parts.password:
            return ()
        user, password = unquote(parts.username or ""), unquote(parts.password)
        return (self.url, parts.netloc.rpartition("@")[0], parts.password, password, f"{user}:{password}")


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for this URL, None for the direct way.

    HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in capitals or small letters; NO_PROXY as curl reads it. Raises NoAnswer for
    a proxy that cannot be used.
    """
    from urllib.request import getproxies

    known = getproxies()
    parts = urlsplit(url)
    kind = next((kind for kind in (parts.scheme, "all") if known.get(kind)), None)
    if kind is None or _is_excluded(parts.scheme, parts.hostname or "", parts.port, known.get("no", "")):
        return None
    variable, named = f"{kind.upper()}_PROXY", known[kind]
    return _usable_proxy(variable, named if "://" in named else f"http://{named}")


def _usable_proxy(variable: str, url: str) -> Proxy:
    example = "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with %40 and %2F for @ and / in a password"
    unreadable = NoAnswer(f"{variable} holds no URL of a proxy that can be read; {example}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise unreadable from None
    if not host or not url.isprintable() or any("@" in part for part in (parts.path, parts.query, parts.fragment)):
        raise unreadable  # a piece of a password may stand where the host does
    shown = escape(f"{parts.scheme}://" + (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}"))
    if parts.scheme.startswith("socks"):
        raise NoAnswer(
            f"{variable} names {shown}, a SOCKS proxy, which syncer cannot use; "
            "name an HTTP proxy (http://HOST:PORT), or exclude the host with NO_PROXY"
        )
    if parts.scheme not in {"http", "https"}:
        raise NoAnswer(f"{variable} names {shown}, which is not the URL of an HTTP proxy; {example}")
    return Proxy(url=url, shown=shown, variable=variable)


def _refused_by_proxy(proxy: Proxy, name: str, reason: str) -> NoAnswer:
    """For a proxy that does not open a tunnel; `reason` begins with its status."""
    status = reason[:3]
    then = _login_advice(proxy) if status == "407" else proxy.advice
    return NoAnswer(
        f"the proxy {proxy.shown} refuses the way to {name}: {reason}; {then}", is_transient=status.startswith("5")
    )


def _login_advice(proxy: Proxy) -> str:
    return f"write its user and password into {proxy.variable}: http://USER:PASSWORD@HOST:PORT"


def _is_excluded(scheme: str, host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY spares this host the proxy. An entry that cannot be read is named and ignored."""
    port = port or (443 if scheme == "https" else 80)
    excluded = False
    for entry in no_proxy.replace(",", " ").split():
        try:
            excluded = excluded or _excludes(entry.lower(), scheme, host, port)
        except ValueError:
            shown = escape(entry.rpartition("@")[2][:80])
            log.warning("NO_PROXY has the entry %s, which is not a host, an address or a network; it is ignored", shown)
    return excluded


def _excludes(entry: str, scheme: str, host: str, port: int) -> bool:
    """Raises ValueError for an entry that cannot be read."""
    import ipaddress

    named, _, place = entry.rpartition("://")
    place = place.rstrip("/")
    if place == "*":
        return True
    if named not in {"", "all", scheme}:
        return False
    if "/" in place:
        return _is_within(host, str(ipaddress.ip_network(place.replace("[", "").replace("]", ""), strict=False)))
    parts = urlsplit(f"//[{place}]" if place.count(":") > 1 and "[" not in place else f"//{place}")
    domain = (parts.hostname or "").removeprefix("*").strip(".")
    if not domain:
        raise ValueError(entry)
    if parts.port not in {None, port}:
        return False
    return _is_within(host, domain) or f".{host.rstrip('.')}".endswith(f".{domain}")


def _is_within(host: str, network: str) -> bool:
    """Whether the host is an address of the network; False if one of them is a name."""
    import ipaddress

    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(network)
    return False


# --- headers -------------------------------------------------------------------------------------------------------

_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset({
    "host", "connection", "content-length", "content-encoding", "transfer-encoding", "te", "trailer", "upgrade",
    "accept-encoding", "if-none-match", "if-modified-since", "range", "expect", "proxy-authorization",
})  # fmt: skip


def header_fault(name: str, value: str = "") -> str | None:
    """Why a header of the user's cannot be sent, as the end of a sentence; None if it can. It never shows the value."""
    if not _HEADER_NAME.fullmatch(name):
        return f"{escape(name[:80])!r} is not the name of a header; write letters, digits and hyphens"
    if name.lower() in _OUR_HEADERS:
        return f"the header {name} is set by syncer itself; remove it"
    if value != value.strip() or not value.isascii() or not value.isprintable():
        return f"the value of the header {name} has a control character, a non-ASCII character or outer white space"
    return None


def retry_after(text: str | None, now: datetime) -> float:
    """Seconds that a Retry-After asks for: a number or an HTTP date; 0 where it is missing, past or unreadable."""
    seconds = delta_seconds(text)
    if seconds is not None:
        return float(seconds)
    date = http_date(text)
    return min(max((date - now).total_seconds(), 0.0), float(LONGEST_RETRY_AFTER)) if date else 0.0


def delta_seconds(text: str | None) -> int | None:
    """The number of seconds that a header holds (Age, Retry-After), at most 31 years; None if it holds no such."""
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit():
        return None
    return int(text) if len(text) < 10 else LONGEST_RETRY_AFTER


def http_date(text: str | None) -> datetime | None:
    """The aware instant that a header holds (Date, Retry-After); None if it holds none that can be read."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC of an unknown place


# --- what is safe to show ------------------------------------------------------------------------------------------

_SHORTEST = 4  # fewer characters are no secret, and fewer of one give nothing away
_SHORTEST_START = 8  # likewise, in the midst of a text: shorter ones begin ordinary words
_SHORTEST_PACKED = 6  # a shorter secret in base64 is a few letters that stand in ordinary words
_SHORTEST_PART = 5  # a shorter part of a URL gives nothing away, and hiding it would spoil every sentence


def redact(text: str, secrets: Iterable[str], *, cut: bool = False, whole: bool = False) -> str:
    """The text with *** for each secret: as it is, in other case, in base64, percent-encoded and as JSON writes it.

    So is a beginning of one, as whoever quotes a secret may shorten it; with `cut` also a short one at the end, where
    the text was cut off. `whole`: only whole secrets are hidden, for what is stored rather than shown. The very same
    object is returned if there is nothing to hide.
    """
    data = text.encode("utf-8", "surrogatepass")
    clean = redact_bytes(data, secrets, cut=cut, whole=whole)
    return text if clean is data else clean.decode("utf-8", "surrogatepass" if whole else "replace")


def redact_bytes(
    data: bytes | bytearray, secrets: Iterable[str], *, cut: bool = False, whole: bool = False
) -> bytes | bytearray:
    """`redact` for UTF-8 that is not decoded yet."""
    folded = data.lower()  # of bytes: ASCII only, so that every place stays where it is
    spans: list[tuple[int, int]] = []
    for form in _forms(tuple(secrets)):
        spans += _spans(folded, form, len(form) if whole else min(len(form), _SHORTEST_START))
        spans += _cut_off(folded, form) if cut else []
    if not spans:
        return data
    clean, done = bytearray(), 0
    for start, end in sorted(spans):
        if start >= done:
            clean += data[done:start] + b"***"
        done = max(done, end)
    return bytes(clean + data[done:])


def _spans(folded: bytes | bytearray, form: bytes, least: int) -> Iterator[tuple[int, int]]:
    """Where at least so many bytes of a secret's beginning stand."""
    start = folded.find(form[:least])
    while start >= 0:
        end = start + least
        while end - start < len(form) and folded[end : end + 1] == form[end - start : end - start + 1]:
            end += 1
        yield start, end
        start = folded.find(form[:least], end)


def _cut_off(folded: bytes | bytearray, form: bytes) -> list[tuple[int, int]]:
    """Where the end of the text is the beginning of a secret."""
    lengths = range(min(len(form), _SHORTEST_START) - 1, _SHORTEST - 1, -1)
    return next(([(len(folded) - n, len(folded))] for n in lengths if folded.endswith(form[:n])), [])


@lru_cache(maxsize=64)
def _forms(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """In how many ways the secrets may be written, in small letters."""
    forms: set[str] = set()
    for secret in (secret for secret in secrets if len(secret) >= _SHORTEST):
        forms |= {secret, quote(secret, safe="", errors="replace")}
        forms |= {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        if len(secret) >= _SHORTEST_PACKED:
            forms.update(_packed(secret.encode("utf-8", "surrogatepass")))
    return tuple(form.encode("utf-8", "surrogatepass").lower() for form in sorted(forms))


def _packed(secret: bytes) -> Iterator[str]:
    """What base64 makes of a secret within other text: of its whole sextets, at each of three offsets."""
    for offset in range(3):
        sextets = base64.b64encode(bytes(offset) + secret)[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        yield sextets.decode("ascii")
        yield sextets.translate(bytes.maketrans(b"+/", b"-_")).decode("ascii")


def url_secrets(url: str) -> tuple[str, ...]:
    """What to hide of a URL that is a secret: all of it, its password, and each part that may be what makes it one."""
    rest = url.partition("://")[2]
    parts = [rest, *re.split(r"[/?#]+", rest), *re.split(r"[/:@?&=#]+", rest)]
    password = parts[1].rpartition("@")[0].partition(":")[2]
    pieces = [piece for part in parts if len(part) >= _SHORTEST_PART for piece in (part, unquote(part))]
    return tuple(dict.fromkeys((url, password, unquote(password), *pieces)))


def escape(text: str) -> str:
    """The text with control, format and other invisible characters written as escapes (law 12)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
