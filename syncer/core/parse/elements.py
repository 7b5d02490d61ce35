"""One raw element -> a Listing. Everything upstream says of a model is doubted here.

- An element is rejected only if it is no object, has no legible, acceptable name, or is too long or too deep to read.
- Every other field is read on its own: what cannot be read is `unread`, and the rest counts (law 3). The prices are one
  field: one component that cannot be read costs all of them.
- Names are kept as sent. Refused is what could be mistaken for another name, or for none.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec
from msgspec import Raw

from syncer.core import prices
from syncer.core.fields import FIELDS
from syncer.core.formats import CompiledFormat, Component, Lookup, Path
from syncer.core.model import NO_EXTRA, PRICES, Listing
from syncer.core.parse import scan, words
from syncer.core.parse.envelope import MAX_ELEMENT, Keys, unwrapped
from syncer.errors import BadResponse

MAX_NAME = 255
MAX_COMPONENTS = 200
"""So many prices of one model are kept; real ones have a dozen."""
_CONTAINERS = frozenset({dict, list})

_read_object = msgspec.json.Decoder(dict[str, Any], float_hook=prices.decimal_literal).decode
Get = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
_PriceReader = tuple[str, str, Get, Get | None, int, frozenset[Decimal]]
"""A component, how it is called among what is stated, where it is, what it is a multiple of, its shift and varies."""
_NONE: frozenset[str] = frozenset()


_NAME_WITHIN = 1_048_576
"""So many bytes of an element that is too long are searched for its name."""


class Refused(Exception):  # noqa: N818 - a verdict on one element
    """Why an element is no listing; `name` is its name where that is legible."""

    def __init__(self, reason: str, name: str | None = None, *, no_object: bool = False) -> None:
        super().__init__(reason)
        self.name = name
        self.no_object = no_object


class Unfit(msgspec.Struct, frozen=True):
    """A value that JSON cannot carry, though the standard json module reads it."""

    reason: str


class ElementReader:
    """How one format reads an element, prepared once."""

    def __init__(self, fmt: CompiledFormat) -> None:
        self._format = fmt
        read = {field.name: field.read for field in FIELDS}
        plain = {name for name, lookup in fmt.fields.items() if _is_key(lookup)}
        self._by_key = [(name, fmt.fields[name].path[0], read[name]) for name in fmt.fields if name in plain]
        self._by_path = [
            (name, _getter(lookup), read[name]) for name, lookup in fmt.fields.items() if name not in plain
        ]
        self._prices = [_price_reader(component, fmt.components) for component in fmt.components]
        self._names = {
            component.lookup.path[-1]: component.name for component in fmt.components if not component.lookup.where
        }
        self._units = {c.name: (c.unit.shift, c.unit.varies) for c in fmt.components}
        self._unknown: Mapping[str, Decimal | None] = {fmt.headline: None}
        self._name_parts = [part if isinstance(part, str | int) else _getter(part) for part in fmt.name_parts]
        self._name_key = _only_key(fmt.name_parts)
        self._called = " ".join(str(part) for part in fmt.name_parts if isinstance(part, Lookup))
        self._consumed = _consumed(fmt)
        self._deep = any(tree for tree in self._consumed.values())

    def read(self, raw: Raw | bytes, keys: Keys, kept: Raw, digest: bytes) -> tuple[Listing, list[str]]:
        """The listing, and what is to be said about it; raises Refused, or BadResponse for bytes that are no text.

        `raw` is the element itself, `kept` what is stored of it: the same, or with its keys around it.
        """
        row = outer = self._decoded(raw)
        if self._format.split:
            row = self._item(outer)
        name = self._name(row, outer, keys)
        if type(outer) is _PatientRow:
            kept, digest = _storable(kept, digest)
        said: list[str] = []
        if doubled := _doubled(bytes(raw), outer):
            several = f"key{'s' * (len(doubled) > 1)} {', '.join(map(words.short, doubled))}"
            said.append(f"holds the {several} more than once; the last one counts")
        return self._listing(row, outer, name, kept, digest, said), said

    def name_of(self, raw: bytes, keys: Keys) -> str | None:
        """The name of an element that is too long or too deep to be read, if that much is legible."""
        parts: list[str] = []
        for part in self._format.name_parts:
            if isinstance(part, Lookup):
                found = scan.find(raw[:_NAME_WITHIN], part.path) if not self._format.split else None
                text = _json_text(found)
                if text is None:
                    return None
                parts.append(text)
            else:
                parts.append(part if isinstance(part, str) else keys[part - 1])
        try:
            return _acceptable("".join(parts))
        except Refused as why:
            return why.name

    def has_a_price(self, listing: Listing) -> bool:
        """Whether the element of a listing has anything at all at the path of any price, readable or not."""
        raw = unwrapped(bytes(listing.raw), self._format.stars)[1] if self._format.stars else listing.raw
        row = outer = self._decoded(raw)
        if self._format.split:
            row = self._item(outer)
        for _, _, get, *_ in self._prices:
            with suppress(ValueError):  # something else stands on the way there
                if get(row, outer) is not None:
                    return True
        return False

    def prefix_of(self, keys: Keys) -> str:
        """What the names of all models under these keys begin with; empty where the keys are no part of a name."""
        known: list[str | None] = [
            part if isinstance(part, str) else keys[part - 1] if isinstance(part, int) and part <= len(keys) else None
            for part in self._format.name_parts
        ]
        end = known.index(None) if None in known else len(known)
        has_key = any(isinstance(part, int) for part in self._format.name_parts[:end])
        return "".join(part for part in known[:end] if part is not None) if has_key else ""

    def is_skipped(self, name: str | None) -> bool:
        """Whether the format says that this is no model."""
        return bool(self._format.skip) and name in self._format.skip

    # -- the object ----------------------------------------------------------------------------------------------------

    def _decoded(self, raw: Raw | bytes) -> dict[str, Any]:
        if len(raw) > MAX_ELEMENT:
            raise Refused(f"is {len(raw):,} bytes long; at most {MAX_ELEMENT:,} are read")
        try:
            return _read_object(raw)
        except RecursionError:
            raise Refused("is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            text = bytes(raw)
            if text[:1] == b"{":  # a number out of all range, a lone surrogate, NaN
                return _PatientRow(_patient_object(text))
            raise Refused(f"is not a readable object ({words.plain(str(error))})", no_object=True) from None

    def _item(self, row: dict[str, Any]) -> dict[str, Any]:
        """The one item of the list that the element was split by."""
        found = _walk(row, self._format.split)
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            raise Refused(f"has something else than objects in {'.'.join(self._format.split)}", no_object=True)
        return found[0]

    def _name(self, row: Mapping[str, Any], outer: Mapping[str, Any], keys: Keys) -> str:
        if self._name_key is not None:
            value: object = row.get(self._name_key)
            return _acceptable(value) if isinstance(value, str) else self._no_name(value)
        parts: list[str] = []
        for part in self._name_parts:
            try:
                value = part(row, outer) if callable(part) else keys[part - 1] if isinstance(part, int) else part
            except ValueError as why:
                raise Refused(f"has no name at {self._called} ({why})") from None
            parts.append(value if isinstance(value, str) else self._no_name(value))
        return _acceptable("".join(parts))

    def _no_name(self, value: object) -> str:
        if value is None:
            raise Refused(f"has no {self._called}")
        raise Refused(f"has a {self._called} that {value.reason if isinstance(value, Unfit) else 'is not text'}")

    # -- what is read of it --------------------------------------------------------------------------------------------

    def _listing(
        self, row: dict[str, Any], outer: dict[str, Any], name: str, kept: Raw, digest: bytes, said: list[str]
    ) -> Listing:
        values: dict[str, Any]
        stated: list[str]
        unread: list[str] = []
        try:
            values = {field: read(value) for field, key, read in self._by_key if (value := row.get(key)) is not None}
            stated = [field for field, value in values.items() if value is not None]
        except ValueError:
            values, stated = {}, []
            for field, key, read in self._by_key:
                self._field(field, row.get(key), read, values, stated, unread, said)
        for field, get, read in self._by_path:
            try:
                value = get(row, outer)
            except ValueError as why:
                stated.append(field)
                unread.append(field)
                said.append(_complaint(field, None, why))
            else:
                self._field(field, value, read, values, stated, unread, said)
        priced = self._priced(row, outer, stated, unread, said)
        return Listing(
            name=name,
            price=priced.get(self._format.headline),
            prices=priced,
            extra=_written(self._rest(row, outer)),
            unread=_names(tuple(unread)) if unread else _NONE,
            stated=_names(tuple(stated)),
            raw=kept,
            digest=digest,
            **values,
        )

    def _field(
        self,
        field: str,
        value: object,
        read: Callable[[Any], Any],
        values: dict[str, Any],
        stated: list[str],
        unread: list[str],
        said: list[str],
    ) -> None:
        """One field, into what was read, or into what cannot be read and why; one read as nothing states nothing."""
        if value is None:
            return
        try:
            values[field] = read(value)
        except ValueError as why:
            unread.append(field)
            said.append(_complaint(field, value, why))
        if field in unread or values[field] is not None:
            stated.append(field)

    def _priced(
        self, row: Mapping[str, Any], outer: Mapping[str, Any], stated: list[str], unread: list[str], said: list[str]
    ) -> Mapping[str, Decimal | None]:
        """The prices that the element states, and the headline; one that cannot be read costs all of them."""
        found: dict[str, Decimal | None] = {self._format.headline: None}
        wrong = False
        for component, spelled, get, base, shift, varies in self._prices:
            value: object = None
            try:
                value = get(row, outer)
                if value is None:
                    continue
                found[component] = (
                    prices.price(value, shift, varies)
                    if base is None
                    else prices.multiple(value, base(row, outer), shift, varies)
                )
            except ValueError as why:
                wrong = True
                said.append(_complaint(f"price {component}", value, why))
            stated.append(spelled)
        if self._format.reader is not None and not wrong:
            wrong = not self._tiers(row, found, stated, said)
        if wrong:
            unread.append(PRICES)
            return self._unknown
        return found

    def _tiers(
        self, row: Mapping[str, Any], found: dict[str, Decimal | None], stated: list[str], said: list[str]
    ) -> bool:
        """What the format's reader adds to the prices that were found; whether all of it can be read."""
        assert self._format.reader is not None  # noqa: S101 - the caller has asked
        readable = True
        try:
            self._format.reader.read(row, found, self._names, self._price_of)
            if len(found) > MAX_COMPONENTS:
                raise ValueError(f"is beyond the {MAX_COMPONENTS} that a model can have")
        except ValueError as why:
            readable = False
            said.append(f"has prices of which one {why}")
        told = set(stated)
        if found[self._format.headline] is None:
            told.add(f"{PRICES}.{self._format.headline}")  # a key in any case: that it is there states nothing
        some = islice(found, MAX_COMPONENTS)
        stated += [spelled for component in some if (spelled := f"{PRICES}.{component}") not in told]
        return readable

    def _price_of(self, component: str, value: object) -> Decimal | None:
        shift, varies = self._units[component]
        return prices.price(value, shift, varies)

    def _rest(self, row: dict[str, Any], outer: dict[str, Any]) -> Mapping[str, Any]:
        """What the format does not read, by key."""
        if type(row) is _PatientRow:
            return {}
        consumed = self._consumed
        rest = {key: value for key, value in row.items() if key not in consumed}
        if self._deep:
            for key, tree in consumed.items():
                if tree and (left := _without(row.get(key), tree)) is not None:
                    rest[key] = left
        if outer is not row:
            root = self._format.split[0]
            rest = {key: value for key, value in outer.items() if key != root and key not in consumed} | rest
        return rest


_write_object = msgspec.json.Encoder(decimal_format="number").encode


def _written(rest: Mapping[str, Any]) -> Raw:
    """What is left of an element as text: values of any kind must not outlive the reading of their element."""
    try:
        return Raw(_write_object(rest)) if rest else NO_EXTRA
    except RecursionError:
        raise Refused("is nested too deeply") from None


class _PatientRow(dict[str, Any]):
    """An element that only the patient reader took: what of it is not read is kept nowhere but in its bytes."""


_prepared: dict[str, ElementReader] = {}


def reader_of(fmt: CompiledFormat) -> ElementReader:
    """The prepared reader of a format."""
    reader = _prepared.get(fmt.parser)
    if reader is None:
        reader = _prepared[fmt.parser] = ElementReader(fmt)
    return reader


# -- paths -------------------------------------------------------------------------------------------------------------


def _is_key(lookup: Lookup) -> bool:
    return len(lookup.path) == 1 and not lookup.outer and not lookup.where


def _only_key(parts: tuple[str | int | Lookup, ...]) -> str | None:
    only = parts[0] if len(parts) == 1 else None
    return only.path[0] if isinstance(only, Lookup) and _is_key(only) else None


def _walk(value: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON
    """The value at a path, None where there is none; raises ValueError where a key is looked for in no object."""
    for key in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise ValueError(f"cannot be there: {prices.json_type(value)} stands where an object with {key} belongs")
        value = value.get(key)
    return value


def _getter(lookup: Lookup) -> Get:
    """A function that finds the value in an element, or in the one around it."""
    path, where, at = lookup.path, lookup.where, lookup.list
    if not where:
        if lookup.outer:
            return lambda _, outer: _walk(outer, path)
        if len(path) == 1:
            (key,) = path
            return lambda row, _: row.get(key)
        return lambda row, _: _walk(row, path)

    def get(row: Mapping[str, Any], outer: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        held = _walk(outer if lookup.outer else row, at)
        if held is None:
            return None
        if not isinstance(held, list):
            raise ValueError(f"cannot be there: {prices.json_type(held)} stands where a list belongs")
        found = [item for item in held if isinstance(item, dict) and all(item.get(key) == want for key, want in where)]
        if len(found) > 1:
            raise ValueError(f"stands there {len(found)} times")
        return _walk(found[0], path) if found else None

    return get


def _price_reader(component: Component, all_of_them: tuple[Component, ...]) -> _PriceReader:
    base = next((_getter(other.lookup) for other in all_of_them if other.name == component.times), None)
    unit = component.unit
    return component.name, f"{PRICES}.{component.name}", _getter(component.lookup), base, unit.shift, unit.varies


def _consumed(fmt: CompiledFormat) -> dict[str, Any]:
    """The keys of an element that the format reads: of a key read in part, the tree of what is read below it."""
    tree: dict[str, Any] = {}
    lookups = [*fmt.fields.values(), *(c.lookup for c in fmt.components)]
    lookups += [part for part in fmt.name_parts if isinstance(part, Lookup)]
    paths = [lookup.list or lookup.path for lookup in lookups]
    for path in (*paths, *(fmt.reader.consumes if fmt.reader else ())):
        at = tree
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at.setdefault(path[-1], {})
    return tree


def _without(value: object, tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An object without what is read of it; None if nothing is left."""
    if not isinstance(value, dict):
        return None
    left = {key: inner for key, inner in value.items() if key not in tree}
    for key, below in tree.items():
        if below and (inner := _without(value.get(key), below)) is not None:
            left[key] = inner
    return left or None


# -- names, and odd JSON -----------------------------------------------------------------------------------------------


def _acceptable(name: str) -> str:
    """A model's name, kept as sent."""
    if not name.isprintable():
        categories = {unicodedata.category(character) for character in name}
        if categories & {"Cc", "Cs"}:
            raise Refused("has a name with a control character or a lone surrogate")
        if all(category[0] in "CZ" for category in categories):
            raise Refused("has a name with nothing visible in it")
    if len(name) > MAX_NAME:
        raise Refused(
            f"has a name of {len(name):,} characters; at most {MAX_NAME} are kept", name[: MAX_NAME - 3] + "..."
        )
    if name != name.strip() or not name:
        raise Refused("has a name that is blank or has outer white space", name if name.strip() else None)
    return name


def _patient_object(raw: bytes) -> dict[str, Any]:
    """The object that only the standard json module takes; raises BadResponse for bytes that are no UTF-8."""
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        where = words.short(raw[max(0, error.start - 20) : error.start + 20].decode("utf-8", "replace"))
        raise BadResponse(f"the response is not valid UTF-8 ({error.reason}, near {where})") from None
    try:
        row: dict[str, Any] = _marked(_patient.decode(text))
    except RecursionError:
        raise Refused("is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"is not JSON ({words.plain(str(error))})") from None
    return row


def _storable(kept: Raw, digest: bytes) -> tuple[Raw, bytes]:
    """The element as valid UTF-8: a lone surrogate that was sent as bytes is kept as its escape."""
    text = bytes(kept).decode("utf-8", "surrogatepass")
    if _is_whole(text):
        return kept, digest
    escaped = re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    return Raw(escaped), blake2b(escaped, digest_size=16).digest()


def _number(literal: str) -> Decimal | Unfit:
    try:
        return prices.decimal_literal(literal)
    except ValueError as why:
        return Unfit(str(why))


_patient = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=lambda word: Unfit(f"is {word}, which JSON does not have")
)


def _marked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with each text that holds a lone surrogate marked as unfit; as deep as the decoder itself went."""
    if isinstance(value, str):
        return value if value.isascii() or _is_whole(value) else Unfit("has a lone surrogate")
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return {key: _marked(item) for key, item in value.items()} if isinstance(value, dict) else value


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _json_text(literal: bytes | None) -> str | None:
    if literal is None or literal[:1] != b'"':
        return None
    try:
        return str(json.loads(literal.decode("utf-8", "surrogatepass")))
    except ValueError:
        return None


def _doubled(text: bytes, row: dict[str, Any]) -> tuple[str, ...]:
    """The keys that an object of this element holds twice; looked for only where the number of keys does not fit.

    A quote before a colon ends a key, or stands escaped in a text: more of them than keys prove nothing yet.
    """
    keys = len(row) if text.count(b"{") == 1 else _count_keys(row)
    return () if text.count(b'":') == keys else scan.doubled(text)


def _count_keys(row: dict[str, Any]) -> int:
    """How many keys the objects in this element have, at any depth; without a stack, for it may be deep."""
    count = len(row)
    waiting: list[Any] = [value for value in row.values() if type(value) in _CONTAINERS and value]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            count += len(value)
            value = value.values()
        waiting += [inner for inner in value if type(inner) in _CONTAINERS and inner]
    return count


def _complaint(field: str, value: object, why: ValueError) -> str:
    article = "an" if field[0] in "aeiou" else "a"
    said = f"has {article} {field} that {value.reason if isinstance(value, Unfit) else why}"
    return said if value is None or isinstance(value, Unfit) else f"{said} ({words.short(value)})"


@lru_cache(maxsize=1024)
def _names(names: tuple[str, ...]) -> frozenset[str]:
    """One set for all elements of one make."""
    return frozenset(names)
