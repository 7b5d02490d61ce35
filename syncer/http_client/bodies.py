"""Bodies in pieces of bounded size, and the beginning of a refusal."""

import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from syncer.http_client.redaction import escape

if TYPE_CHECKING:
    import httpx


_PIECE = 256 * 1024
EXCERPT_READ = 4096
_EXCERPT_SECONDS = 1.0
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


def decoded(response: "httpx.Response") -> Iterator[bytes]:
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


def read_excerpt(response: "httpx.Response", body: bytearray) -> None:
    """The beginning of what a refusal says, as far as it comes in time; never a failure of its own."""
    import httpx

    until = time.monotonic() + _EXCERPT_SECONDS
    with suppress(httpx.HTTPError, httpx.StreamError, UnreadableEncodingError, OSError, EOFError, zlib.error):
        for piece in decoded(response):
            body.extend(piece[:EXCERPT_READ])
            if len(body) >= EXCERPT_READ or time.monotonic() > until:
                return
