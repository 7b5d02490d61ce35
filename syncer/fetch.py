"""Fetch one catalog: the only HTTP client towards sources.

- The deadline is hard: it ends a slow name look-up, connect, TLS handshake, head, body, retry and wait alike.
- The key travels to the origin that was configured and nowhere else, and stands in no error and no log line (law 11).
- The limit on size counts decoded bytes, and no more than one piece beyond it is ever decoded.
- Whatever goes wrong on the wire is a FetchError; whether to try again is decided here and nowhere else.
- The clock only dates what arrived; waits and the deadline use the monotonic one, which nobody can set.
"""

import logging
import random
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from syncer import http_client
from syncer.errors import FetchError, SettingsError

if TYPE_CHECKING:
    import httpx  # at run time only where something is fetched: it costs 0.1 s to import

log = logging.getLogger("syncer.upstream")

_ENDPOINT = "/serverless/models"
_MAX_REDIRECTS = 5
_PIECE = 256 * 1024
_EXCERPT_READ = 4096
_EXCERPT_SHOWN = 200
_EXCERPT_SECONDS = 1.0
_UNREADABLE_URL = "(a URL that cannot be read)"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a fetch may cost, in seconds, bytes and attempts.

    `connect` bounds a connect or TLS handshake, `read` one silence, `deadline` everything together. `backoff` is the
    longest wait before the second attempt; it doubles with each further one.
    """

    connect: float = 10.0
    read: float = 30.0
    deadline: float = 120.0
    max_body: int = 64 * 1024 * 1024
    attempts: int = 5
    backoff: float = 0.5


DEFAULT_LIMITS = Limits()


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: 200 with the decoded body, or 304 with an empty one. `received_at` is when it was complete."""

    status: int
    body: bytes | bytearray
    etag: str | None
    received_at: datetime


def catalog_url(base: str) -> str:
    """The catalog's URL under a configured base URL. Raises SettingsError if that is no plain http(s) URL."""
    parts = _plain_parts(base.strip())
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_ENDPOINT) else path + _ENDPOINT))


def public_url(url: str) -> str:
    """The URL as it may be shown or stored: without userinfo, query or fragment (law 11). Never raises."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _UNREADABLE_URL
    if parts.scheme not in {"http", "https"} or not host:
        return _UNREADABLE_URL
    where = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return http_client.escape(f"{parts.scheme}://{where}{parts.path}") + ("?..." if parts.query else "")


def fetch(
    url: str, *, key: str | None, etag: str | None, clock: Callable[[], datetime], limits: Limits = DEFAULT_LIMITS
) -> Response:
    """GET the catalog, with retries, within the limits; conditional if an `etag` is given.

    `key` is sent as a bearer token if there is one. `clock` gives the aware present. Raises FetchError, and
    SettingsError for a key or a URL that cannot be used.
    """
    question = _question(url, key, etag)
    try:
        return _fetch(question, clock, limits)
    except FetchError as error:
        # `from None`: what httpx and h11 say of a request may quote it.
        raise error.without(question.key) from None


class _Question(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    key: str | None
    etag: str | None

    def headers(self) -> dict[str, str]:
        from syncer import __version__

        # Only gzip is asked for, as only gzip can be decoded in bounded steps with the standard library.
        headers = {"User-Agent": f"syncer/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.etag:
            headers["If-None-Match"] = self.etag
        return headers


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    body: bytes | bytearray
    etag: str | None


class _Transient(FetchError):  # noqa: N818 - a kind of FetchError, for this module only
    """A failure that another attempt may heal; `retry_after` is that header as it came."""

    def __init__(self, message: str, *, http_status: int | None = None, retry_after: str | None = None) -> None:
        super().__init__(message, http_status=http_status)
        self.retry_after = retry_after


# --- what is asked -------------------------------------------------------------------------------------------------


def _question(url: str, key: str | None, etag: str | None) -> _Question:
    _plain_parts(url)
    return _Question(url=url, key=_usable_key(key) if key else None, etag=_usable_etag(etag))


def _plain_parts(url: str) -> SplitResult:
    """The parts of a URL that httpx cannot understand differently. The errors show nothing that may be a secret."""
    if not url.isprintable() or " " in url or "\\" in url:
        raise SettingsError("the URL of the source has a space, a backslash or a control character in it; remove it")
    try:
        parts = urlsplit(url)
        _ = parts.port  # a bad one is found when it is asked for
    except ValueError:
        raise SettingsError("the URL of the source has a host or port that cannot be read; correct it") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError("the URL of the source must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise SettingsError(
            f"the URL {public_url(url)} has a user or password before the host; remove it and give the key as a key"
        )
    if "#" in url:
        raise SettingsError(f"the URL {public_url(url)} has a fragment (#...), which no server would see; remove it")
    return parts


def _usable_key(key: str) -> str:
    """The key without outer white space; bearer tokens are printable ASCII."""
    bare = key.strip()
    if not bare:
        raise SettingsError("the API key of the source is blank; set it, or remove the setting to send none")
    if not all("!" <= character <= "~" for character in bare):
        raise SettingsError(
            "the API key of the source has a space, a control character or a non-ASCII character in it; "
            "give the bare key, without 'Bearer' and without quotes"
        )
    return bare


def _usable_etag(etag: str | None) -> str | None:
    """The ETag if it can be sent back as a header, else None: the next look is then an unconditional one."""
    return etag if etag and len(etag) <= 1024 and etag.isascii() and etag.isprintable() else None


# --- attempts ------------------------------------------------------------------------------------------------------


def _fetch(question: _Question, clock: Callable[[], datetime], limits: Limits) -> Response:
    ends_at = time.monotonic() + limits.deadline
    attempt = 0
    while True:
        attempt += 1
        try:
            answer = _attempt(question, limits, ends_at)
        except _Transient as error:
            now = clock()
            asked = http_client.retry_after(error.retry_after, now)
            wait = max(asked, _backoff(attempt, limits, random.random()))
            if attempt >= limits.attempts or time.monotonic() + wait >= ends_at:
                raise _given_up(error, attempt, limits, now + timedelta(seconds=asked) if asked else None) from None
            failure = error.without(question.key)
            log.warning("%s; attempt %d of %d, the next one in %.1f s", failure, attempt, limits.attempts, wait)
            time.sleep(wait)
        else:
            return Response(status=answer.status, body=answer.body, etag=answer.etag, received_at=clock())


def _backoff(attempt: int, limits: Limits, luck: float) -> float:
    """Full jitter: a `luck` in [0, 1) part of a ceiling that doubles, so that many clients do not return as one."""
    return float(limits.backoff * 2 ** (attempt - 1) * luck)


def _given_up(error: FetchError, attempt: int, limits: Limits, welcome_at: datetime | None) -> FetchError:
    message = str(error) + (f"; given up after {attempt} attempts" if attempt > 1 else "")
    if welcome_at:
        message += f"; it asks not to be called before {welcome_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}, try again then"
    elif attempt < limits.attempts:
        message += f"; the deadline of {limits.deadline:g} s leaves no time for another attempt"
    return FetchError(message, http_status=error.http_status)


def _attempt(question: _Question, limits: Limits, ends_at: float) -> _Answer:
    """One exchange, in a thread of its own that the deadline leaves behind."""
    line = http_client.OpenConnection()
    result, late = http_client.run_with_deadline(
        ends_at, lambda: _exchange(question, limits, ends_at, line), line.abort, name="syncer-fetch"
    )
    return _resolve(result, _too_late(question, limits, line.status) if late else None)


def _resolve(result: _Answer | BaseException | None, late: FetchError | None) -> _Answer:
    """The answer or the error. What a cut connection made of an answer is not believed; a plain refusal still is."""
    if late and (not isinstance(result, FetchError) or isinstance(result, _Transient)):
        raise late
    if isinstance(result, _Answer):
        return result
    raise result or AssertionError("an exchange that ended has an outcome")


def _too_late(question: _Question, limits: Limits, status: int | None) -> FetchError:
    so_far = "nothing came" if status is None else f"status {status} came, and not the whole answer"
    return FetchError(
        f"{public_url(question.url)} did not finish within the deadline of {limits.deadline:g} s ({so_far}); "
        "check the network and the provider's status page, or allow more time",
        http_status=status,
    )


# --- one exchange --------------------------------------------------------------------------------------------------


def _exchange(question: _Question, limits: Limits, ends_at: float, line: http_client.OpenConnection) -> _Answer:
    import httpx

    try:
        with _client(question, limits, ends_at) as client:
            return _follow(client, question, limits, line)
    except FetchError:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
        raise _explained(error, public_url(question.url), limits, line.status) from error
    finally:
        line.close()


def _client(question: _Question, limits: Limits, ends_at: float) -> "httpx.Client":
    connect = max(min(limits.connect, ends_at - time.monotonic()), 0.001)
    secure = question.url.lower().startswith("https:")
    try:
        return http_client.open_client(question.headers(), secure=secure, connect=connect, read=limits.read)
    except ValueError as error:
        raise FetchError(str(error)) from None


def _follow(client: "httpx.Client", question: _Question, limits: Limits, line: http_client.OpenConnection) -> _Answer:
    """Ask, and follow redirects by hand: httpx would carry the other headers to another origin."""
    url = question.url
    for _ in range(_MAX_REDIRECTS + 1):
        with client.stream("GET", url, extensions={"trace": line.trace}) as response:
            line.status = response.status_code
            if not response.has_redirect_location:
                return _answer(response, question, limits)
            url = _redirected(response)
    raise FetchError(
        f"{public_url(question.url)} redirected more than {_MAX_REDIRECTS} times; check the base URL",
        http_status=line.status,
    )


def _redirected(response: "httpx.Response") -> str:
    here = response.request.url
    there = here.join(response.headers["location"])
    if there.userinfo or (there.scheme, there.raw_host, there.port) != (here.scheme, here.raw_host, here.port):
        raise FetchError(
            f"{public_url(str(here))} redirects to another origin: from {_origin(here)} to {_origin(there)}. The key "
            "is not sent there; if that is where the provider lives now, set it as the base URL",
            http_status=response.status_code,
        )
    return str(there)


def _origin(url: "httpx.URL") -> str:
    return http_client.escape(f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}")  # netloc is without userinfo


def _answer(response: "httpx.Response", question: _Question, limits: Limits) -> _Answer:
    status, etag = response.status_code, _usable_etag(response.headers.get("etag"))
    if status == 200:
        return _Answer(status=status, body=_body(response, limits.max_body), etag=etag)
    if status == 304 and question.etag:
        return _Answer(status=status, body=b"", etag=etag or question.etag)
    raise _refused(response, question)


# --- bodies --------------------------------------------------------------------------------------------------------


def _body(response: "httpx.Response", limit: int) -> bytearray:
    """The whole decoded body, or a FetchError as soon as it is larger than `limit` bytes."""
    shown = public_url(str(response.request.url))
    body = bytearray()
    try:
        for piece in _decoded(response):
            body += piece
            if len(body) > limit:
                raise FetchError(
                    f"the answer of {shown} is larger than {limit} bytes (decoded); no catalog is expected to be: "
                    "check the base URL",
                    http_status=200,
                )
    except zlib.error as error:
        raise FetchError(
            f"{shown} sent a body that is not the gzip it claims to be: {error}", http_status=200
        ) from None
    except EOFError:
        raise _Transient(f"{shown} sent a gzip body that ends too early", http_status=200) from None
    return body


def _decoded(response: "httpx.Response") -> Iterator[bytes]:
    """The body in pieces of bounded size.

    Not httpx's own decoding: that makes 64 MiB of one read of gzip zeros, and 64 GiB of it if they are packed twice.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return response.iter_raw()
    if encoding in {"gzip", "x-gzip"}:
        return _gunzipped(response.iter_raw())
    raise FetchError(
        f"{public_url(str(response.request.url))} sent the content encoding '{http_client.escape(encoding[:50])}', "
        "where only gzip was asked for",
        http_status=response.status_code,
    )


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Raises zlib.error for what is no gzip and EOFError for one that ends too early."""
    member = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield member.decompress(rest, _PIECE)
            rest = member.unconsumed_tail
            if member.eof and member.unused_data:
                rest, member = member.unused_data, zlib.decompressobj(wbits=31)
    if not member.eof:
        raise EOFError


def _excerpt(response: "httpx.Response", key: str | None) -> str:
    """What a refusal says, made safe to show; bounded in bytes and time, and never a failure of its own."""
    import httpx

    start, read = time.monotonic(), bytearray()
    with suppress(httpx.HTTPError, FetchError, OSError, EOFError, zlib.error):
        for piece in _decoded(response):
            read += piece
            if len(read) >= _EXCERPT_READ or time.monotonic() - start > _EXCERPT_SECONDS:
                break
    text = http_client.redact(read[:_EXCERPT_READ].decode("utf-8", "replace"), [key or ""]).strip()
    return http_client.escape(text[:_EXCERPT_SHOWN]) + ("..." if len(text) > _EXCERPT_SHOWN else "")


# --- what went wrong -----------------------------------------------------------------------------------------------


def _refused(response: "httpx.Response", question: _Question) -> FetchError:
    """The error for a status that is no answer; transient if the status says that it may pass."""
    status, shown = response.status_code, public_url(str(response.request.url))
    said = _excerpt(response, question.key)
    message = f"{shown} answered with status {status}: {_advice(status, question, shown)}"
    message += f" (it says: {said})" if said else ""
    if status in {408, 429} or status >= 500:
        return _Transient(message, http_status=status, retry_after=response.headers.get("retry-after"))
    return FetchError(message, http_status=status)


def _advice(status: int, question: _Question, shown: str) -> str:
    url_settings = "check the base URL (SYNCER_API_URL, or the source's url)"
    key_settings = "SYNCER_API_KEY, or the source's api_key_env or api_key_file"
    no_key = f"no key was sent; set {key_settings}"
    bad_key = f"the key was refused, or it is a login token older than two hours; check {key_settings}"
    passing = "the provider or a proxy on the way has a problem"
    known = {
        304: "'not modified' was not asked for; a cache on the way is at fault",
        401: bad_key if question.key else no_key,
        403: bad_key if question.key else no_key,
        404: f"nothing is at {shown}; {url_settings}",
        408: passing,
        429: "too many requests; sync less often, or raise the limit of the account",
    }
    return known.get(status, passing if status >= 500 else f"only 200 brings a catalog; {url_settings}")


def _explained(error: Exception, shown: str, limits: Limits, status: int | None) -> FetchError:
    """The FetchError for what httpx raised; transient unless another attempt would end in the same way."""
    import httpx

    reason = http_client.escape(str(error)[:_EXCERPT_SHOWN]) or type(error).__name__
    if isinstance(error, (httpx.ProxyError, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return FetchError(f"{shown} cannot be asked: {reason}; check the URL and the proxy settings")
    if isinstance(error, (httpx.InvalidURL, ValueError)) and not isinstance(error, OSError):
        return FetchError(f"{shown} cannot be asked, or redirects to no URL: {reason}", http_status=status)
    if isinstance(error, httpx.ConnectTimeout):
        return _Transient(f"no connection to {shown} within {limits.connect:g} s; check the network")
    if isinstance(error, httpx.ConnectError):
        return _unconnected(error, shown, reason)
    if isinstance(error, httpx.TimeoutException):
        return _Transient(f"{shown} was silent for {limits.read:g} s", http_status=status)
    return _Transient(f"the connection to {shown} broke: {reason}", http_status=status)


def _unconnected(error: BaseException, shown: str, reason: str) -> FetchError:
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(
            f"{shown} shows a certificate that cannot be trusted: {reason}; "
            "a private authority is named by SSL_CERT_FILE or SSL_CERT_DIR"
        )
    if cause:
        return _Transient(f"no TLS with {shown}: {reason}; check that the base URL's https:// and port are right")
    return _Transient(f"cannot connect to {shown}: {reason}; check the base URL and the network")
