"""Fetch one catalog, all its pages: the only way in which a source is asked.

- The deadline is hard: it ends a slow name look-up, connect, TLS handshake, head, body, page, retry and wait alike.
- Key and headers travel to the origin that was configured and nowhere else, and stand in no error and no log line
  (law 11): neither a redirect nor a page of another origin is followed.
- A list of several pages exists only if each of them arrived; the limits on time and size are those of all together.
- Whatever goes wrong on the wire is a FetchError; whether to try again is decided here and nowhere else.
- The clock only dates what arrived; waits and the deadline use the monotonic one, which nobody can set.
"""

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import msgspec

from syncer import http_client
from syncer.errors import FetchError, SettingsError, UpstreamError
from syncer.http_client import Answer, NoAnswer, Peer

log = logging.getLogger(__name__)

_MAX_REDIRECTS = 5
_BODIES = frozenset({200, 206})
_UNREADABLE_URL = "(a URL that cannot be read)"
_URL_SETTINGS = "the base URL (SYNCER_API_URL, or the source's url)"
_KEY_SETTINGS = "SYNCER_API_KEY, or the source's api_key_env or api_key_file"

Body = bytes | bytearray
NextPage = Callable[[Body, str, int], str | None]
"""The URL of the next page, of a page's body, its URL and its number from 1 on; None after the last one.

It may be relative to the page's URL. It may raise BadResponse for a page that cannot be read.
"""


class Limits(http_client.Limits, frozen=True, kw_only=True):
    """What a fetch may cost, in seconds, bytes, attempts and pages.

    `attempts` are those of one page; `backoff` is the longest wait before the second one, in seconds; it doubles with
    each further one.
    """

    attempts: int = 5
    backoff: float = 0.5
    max_pages: int = 1000


DEFAULT_LIMITS = Limits()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, and how.

    `auth` is how the key travels: "bearer", "none" (not at all), or the name of the header that holds it. `headers`
    are sent as they are; `secrets` are those of their values that are never shown. `etag` makes the request a
    conditional one, but for a list of pages. `next_page` follows the pages; without it the first answer is all.
    `contradiction` says in half a sentence why pages are not of one list ("MODEL is on two of them"), None if they
    are: they are then fetched once more.
    """

    url: str
    key: str | None = None
    auth: str = "bearer"
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    etag: str | None = None
    next_page: NextPage | None = None
    contradiction: Callable[[tuple[Body, ...]], str | None] | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: 200 (or 206) with the decoded body of each page, or 304 with none.

    `received_at` is when it was complete, by our clock; `date` and `age` are what the response says of itself (Date,
    Age), of several pages those of the oldest one. `partial` is the part of its head that says that it is not the
    whole list, None if nothing there does.
    """

    status: int
    bodies: tuple[Body, ...]
    etag: str | None
    received_at: datetime
    date: datetime | None = None
    age: timedelta | None = None
    partial: str | None = None

    @property
    def body(self) -> Body:
        """The one body, empty for 304. Raises ValueError if there are several: one of them is not the list."""
        if len(self.bodies) > 1:
            raise ValueError(f"the response has {len(self.bodies)} pages")
        return self.bodies[0] if self.bodies else b""


def catalog_url(base: str, suffix: str = "") -> str:
    """The catalog's URL under a configured base URL: `suffix`, a path of the format, is appended unless it is there.

    Without a suffix the URL is used as it is. Raises SettingsError if the base is no plain http(s) URL.
    """
    parts = _plain_parts(base.strip())
    if not suffix:
        return urlunsplit(parts)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(suffix) else path + suffix))


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


def fetch(request: Request, *, clock: Callable[[], datetime], limits: Limits = DEFAULT_LIMITS) -> Response:
    """GET the catalog, all its pages, with retries, within the limits.

    `clock` gives the aware present. Raises FetchError, and SettingsError for a URL, a key or a header that cannot be
    used.
    """
    question = _question(request)
    try:
        with _client(question, limits) as client:
            conversation = _Conversation(client, question, clock, limits)
            return _fetch_pages(conversation) if question.next_page else conversation.fetch_one()
    except UpstreamError as error:
        # `from None`: what is behind it may quote the request. Redacted as a whole: a path may hold the key, too.
        raise type(error)(_redacted(str(error), question), http_status=error.http_status) from None


# --- what is asked -------------------------------------------------------------------------------------------------


def _question(request: Request) -> Request:
    """The request with a key, headers and an ETag that can be sent."""
    _plain_parts(request.url)
    return msgspec.structs.replace(
        request,
        key=_usable_key(request.key) if request.key and request.auth != "none" else None,
        headers=_usable_headers(request),
        etag=_usable_etag(request.etag) if request.next_page is None else None,
    )


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
    """The key without outer white space; what a header may hold as one word is printable ASCII."""
    bare = key.strip()
    if not bare:
        raise SettingsError("the API key of the source is blank; set it, or remove the setting to send none")
    if not all("!" <= character <= "~" for character in bare):
        raise SettingsError(
            "the API key of the source has a space, a control character or a non-ASCII character in it; "
            "give the bare key, without 'Bearer' and without quotes"
        )
    return bare


def _usable_headers(request: Request) -> dict[str, str]:
    by_key = [] if request.auth in {"bearer", "none"} else [(request.auth, "")]
    for name, value in [*by_key, *request.headers.items()]:
        fault = http_client.header_fault(name, value)
        if fault:
            raise SettingsError(f"the source cannot be asked: {fault}")
    return dict(request.headers)


def _usable_etag(etag: str | None) -> str | None:
    """The ETag if it can be sent back as a header, else None: the next request is then an unconditional one."""
    return etag if etag and len(etag) <= 1024 and etag.isascii() and etag.isprintable() else None


def _headers(question: Request) -> dict[str, str]:
    """The headers of the request; the source's own replace "Accept" and "User-Agent", the key replaces any."""
    headers = {"accept": "application/json"} | {name.lower(): value for name, value in question.headers.items()}
    if question.key and question.auth == "bearer":
        headers["authorization"] = f"Bearer {question.key}"
    elif question.key:
        headers[question.auth.lower()] = question.key
    if question.etag:
        headers["if-none-match"] = question.etag
    return headers


def _redacted(text: str, question: Request) -> str:
    return http_client.redact(text, _secrets(question))


def _secrets(question: Request) -> tuple[str, ...]:
    return (*((question.key,) if question.key else ()), *question.secrets)


def _client(question: Request, limits: Limits) -> http_client.Client:
    peer = Peer(
        name=public_url(question.url),
        check=_URL_SETTINGS,
        slow="check the network and the provider's status page, or allow more time",
    )
    secrets, headers = _secrets(question), _headers(question)
    try:
        return http_client.Client(question.url, peer, limits, headers=headers, secrets=secrets, thread="syncer-fetch")
    except NoAnswer as error:
        raise _failed(error) from None


# --- one page ------------------------------------------------------------------------------------------------------


class _Conversation:
    """What one fetch says to one origin, within one deadline: each GET with its redirects and retries."""

    def __init__(
        self, client: http_client.Client, question: Request, clock: Callable[[], datetime], limits: Limits
    ) -> None:
        self._client, self.question, self.clock, self.limits = client, question, clock, limits

    def fetch_one(self) -> Response:
        """The answer that is the whole list, or 304."""
        answer = self.get(self.question.url, room=self.limits.max_body)
        etag = _usable_etag(answer.headers.get("etag"))
        if answer.status == 304:
            return self._response([answer], bodies=(), etag=etag or self.question.etag)
        return self._response([answer], bodies=(answer.body,), etag=etag, partial=_partial(answer))

    def together(self, answers: list[Answer]) -> Response:
        """The answer that several pages make. They have no ETag: one page says nothing of the others."""
        partial = next((part for answer in answers if (part := _cut_off(answer))), None)
        return self._response(answers, bodies=tuple(answer.body for answer in answers), etag=None, partial=partial)

    def get(self, url: str, *, room: int) -> Answer:
        """A 200, 206 or 304, tried again as often as the limits allow; up to `room` bytes."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._follow(url, room)
            except _TransientError as error:
                self._wait(error, attempt)

    def _response(
        self, answers: list[Answer], *, bodies: tuple[Body, ...], etag: str | None, partial: str | None = None
    ) -> Response:
        oldest = max(answers, key=lambda answer: _age(answer) or timedelta(0))
        return Response(
            status=answers[0].status,
            bodies=bodies,
            etag=etag,
            received_at=self.clock(),
            date=_date(oldest),
            age=_age(oldest),
            partial=partial,
        )

    def _wait(self, error: "_TransientError", attempt: int) -> None:
        """Until the next attempt. Raises the FetchError if there is to be none."""
        now, left = self.clock(), self._client.time_left
        asked = http_client.retry_after(error.retry_after, now)
        wait = max(asked, _backoff(attempt, self.limits, random.random()))
        if attempt >= self.limits.attempts or wait >= left:
            raise _given_up(error, attempt, self.limits, now + timedelta(seconds=asked) if asked else None)
        shown = _redacted(str(error), self.question)
        log.warning("%s; attempt %d of %d, the next one in %.1f s", shown, attempt, self.limits.attempts, wait)
        time.sleep(wait)

    def _follow(self, url: str, room: int) -> Answer:
        """Ask, and follow redirects within the origin."""
        status = None
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                answer = self._client.send(url, whole=_BODIES, room=room)
            except NoAnswer as error:
                raise _failed(error) from None
            status = answer.status
            if status in _BODIES or (status == 304 and self.question.etag):
                return answer
            if status not in {301, 302, 303, 307, 308} or "location" not in answer.headers:
                raise self._refused(answer)
            url = _same_origin(answer.url, answer.headers["location"], "redirects to", status)
        raise FetchError(
            f"{public_url(self.question.url)} redirected more than {_MAX_REDIRECTS} times; check {_URL_SETTINGS}",
            http_status=status,
        )

    def _refused(self, answer: Answer) -> FetchError:
        """The error for a status that is no answer; transient if the status says that it may pass."""
        status, shown, said = answer.status, public_url(answer.url), self._client.said(answer)
        advice = self._client.login_advice if status == 407 else None
        message = f"{self._client.called(shown)} answered with status {status}: "
        message += advice or _advice(status, self.question, shown)
        message += f" (it says: {said})" if said else ""
        if status in {408, 429} or status >= 500:
            return _TransientError(message, http_status=status, retry_after=answer.headers.get("retry-after"))
        return FetchError(message, http_status=status)


class _TransientError(FetchError):
    """A kind of FetchError, for this module only: another attempt may end otherwise."""

    def __init__(self, message: str, *, http_status: int | None = None, retry_after: str | None = None) -> None:
        super().__init__(message, http_status=http_status)
        self.retry_after = retry_after


def _failed(error: NoAnswer) -> FetchError:
    return (_TransientError if error.is_transient else FetchError)(str(error), http_status=error.status)


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


def _same_origin(here: str, place: str, does: str, status: int | None = None) -> str:
    """The URL of `place`, which may be relative to `here`. Raises FetchError if it is at another origin."""
    shown = public_url(here)
    try:
        there = urljoin(here, place)
        origin, home = _origin(there), _origin(here)
    except ValueError:
        raise FetchError(f"{shown} {does} what is not a URL; check {_URL_SETTINGS}", http_status=status) from None
    if origin != home:
        raise FetchError(
            f"{shown} {does} another origin: from {home} to {origin}. The key is not sent there; if that is where the "
            "provider lives now, set it as the base URL",
            http_status=status,
        )
    return there


def _origin(url: str) -> str:
    """Scheme, host and port, safe to show. Raises ValueError if there is none."""
    parts = urlsplit(url)
    if not parts.hostname or not url.isprintable():
        raise ValueError(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    default = (parts.scheme, port) in {("https", 443), ("http", 80)}
    stranger = "USER@" if "@" in parts.netloc else ""  # never configured, so never the same origin
    return http_client.escape(f"{parts.scheme}://{stranger}{host}" + ("" if default else f":{port}"))


def _advice(status: int, question: Request, shown: str) -> str:
    passing = "the provider or a proxy on the way has a problem"
    known = {
        304: "'not modified' was not asked for; a cache on the way is at fault",
        401: _key_advice(question),
        403: _key_advice(question),
        404: f"nothing is at {shown}; check {_URL_SETTINGS}",
        408: passing,
        429: "too many requests; sync less often, or raise the limit of the account",
    }
    return known.get(status, passing if status >= 500 else f"only 200 brings a catalog; check {_URL_SETTINGS}")


def _key_advice(question: Request) -> str:
    if question.key:
        return f"the key was refused, or has expired (some login tokens live for two hours); check {_KEY_SETTINGS}"
    if question.auth == "none":
        return 'no key was sent, as auth is "none"; say how the key travels (auth), and set ' + _KEY_SETTINGS
    return f"no key was sent; set {_KEY_SETTINGS}"


# --- all pages -----------------------------------------------------------------------------------------------------


def _fetch_pages(conversation: _Conversation) -> Response:
    """Every page, of one list: if they contradict each other, it changed meanwhile, and is fetched once more."""
    contradiction = conversation.question.contradiction or (lambda _: None)
    for _ in range(2):
        answers = _follow_pages(conversation)
        reason = contradiction(tuple(answer.body for answer in answers))
        if reason is None:
            return conversation.together(answers)
        reason = _redacted(http_client.escape(reason), conversation.question)
        log.warning("the pages of %s are not of one list: %s", public_url(conversation.question.url), reason)
    raise FetchError(
        f"the list at {public_url(conversation.question.url)} changed while its {len(answers)} pages were fetched, "
        f"twice in a row: {reason}; try again, or tell the provider",
        http_status=200,
    )


def _follow_pages(conversation: _Conversation) -> list[Answer]:
    question, limits = conversation.question, conversation.limits
    assert question.next_page  # noqa: S101 - asked by the only caller
    answers: list[Answer] = []
    url, room, seen = question.url, limits.max_body, set[str]()
    while True:
        seen.add(url)
        answer = conversation.get(url, room=room)
        answers.append(answer)
        room -= len(answer.body)
        following = question.next_page(answer.body, answer.url, len(answers))
        if following is None:
            return answers
        shown = f"page {len(answers)} of {public_url(question.url)}"
        url = _same_origin(answer.url, following, "names as its next page one at")
        if len(answers) > 1 and answer.body == answers[-2].body:
            raise FetchError(f"{shown} is the same as the one before it, and is not the last one either; {_ASK}")
        if url in seen:
            raise FetchError(f"{shown} names as its next page one that came before, so the list never ends; {_ASK}")
        if len(answers) >= limits.max_pages:
            raise FetchError(
                f"{shown} is not the last one, and more than {limits.max_pages} pages are not read; {_ASK}"
            )


_ASK = "check how the format follows pages (pages), or tell the provider"


# --- what a response says of itself ----------------------------------------------------------------------------------

_RANGE = re.compile(r"(?:[^\s/]+\s+)?(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_LINK = re.compile(r"<[^<>]*>([^<]*)")
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)


def _age(answer: Answer) -> timedelta | None:
    seconds = http_client.delta_seconds(answer.headers.get("age"))
    return None if seconds is None else timedelta(seconds=seconds)


def _date(answer: Answer) -> datetime | None:
    """The response's own Date in UTC; None for one so far off that nothing can be reckoned with it."""
    date = http_client.http_date(answer.headers.get("date"))
    return date.astimezone(UTC) if date and 1970 <= date.year < 9000 else None


def _partial(answer: Answer) -> str | None:
    """What in the head of an answer says that the list goes on elsewhere."""
    return _cut_off(answer) or ("Link: rel=next" if _has_next(answer.headers.get("link", "")) else None)


def _cut_off(answer: Answer) -> str | None:
    """What in the head of an answer says that its body is a part of something."""
    if answer.status == 206:
        return "status 206"
    stated = answer.headers.get("content-range", "").strip()
    found = _RANGE.fullmatch(stated)
    if found is None:
        return None
    first, last, total = found.groups()
    is_whole = int(first) == 0 and (total == "*" or int(last) + 1 >= int(total))
    return None if is_whole else f"Content-Range: {stated}"


def _has_next(link: str) -> bool:
    """Whether a Link header names a next page among its relations; of each link the first `rel` counts (RFC 8288)."""
    relations = (_REL.search(parameters) for parameters in _LINK.findall(link))
    return any("next" in (found[1] or found[2]).lower().split() for found in relations if found)
