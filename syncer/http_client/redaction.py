"""What of the other side's words is safe to show: without secrets (law 11), and printable (law 12)."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, unquote

_SHORTEST = 4  # fewer characters are no secret, and fewer of one give nothing away
_SHORTEST_START = 8  # likewise, in the midst of a text: shorter ones begin ordinary words
_SHORTEST_PACKED = 6  # a shorter secret in base64 is a few letters that stand in ordinary words
_PIECE = 1024 * 1024  # so much is looked at in small letters at once: those of a whole body would double its memory
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
    forms = _forms(tuple(secrets))
    spans = [span for form in forms if cut for span in _cut_off(data, form)]
    overlap = max(map(len, forms), default=0)
    for at in range(0, len(data) if forms else 0, _PIECE):
        folded = data[at : at + _PIECE + overlap].lower()  # of bytes: ASCII only, so that every place stays where it is
        for form in forms:
            least = len(form) if whole else min(len(form), _SHORTEST_START)
            spans += ((at + start, at + end) for start, end in _spans(folded, form, least))
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


def _cut_off(data: bytes | bytearray, form: bytes) -> list[tuple[int, int]]:
    """Where the end of the text is the beginning of a secret."""
    folded = data[-_SHORTEST_START:].lower()
    lengths = range(min(len(form), _SHORTEST_START) - 1, _SHORTEST - 1, -1)
    return next(([(len(data) - n, len(data))] for n in lengths if folded.endswith(form[:n])), [])


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
