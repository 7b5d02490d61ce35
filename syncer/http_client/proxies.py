"""The proxy that the environment names for a URL."""

import logging
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import msgspec

from syncer.http_client.answer import NoAnswer
from syncer.http_client.redaction import escape

log = logging.getLogger("syncer.http_client")


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


def refused_by_proxy(proxy: Proxy, name: str, reason: str) -> NoAnswer:
    """For a proxy that does not open a tunnel; `reason` begins with its status."""
    status = reason[:3]
    then = login_advice(proxy) if status == "407" else proxy.advice
    return NoAnswer(
        f"the proxy {proxy.shown} refuses the way to {name}: {reason}; {then}", is_transient=status.startswith("5")
    )


def login_advice(proxy: Proxy) -> str:
    """What to do if it asks who we are."""
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
