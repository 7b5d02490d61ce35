"""A wire format is data: where the elements are, which path is which field and which price, how numbers are published.

- A format is a table of syncer.toml (`[formats.NAME]`), or one file of syncer/formats in the same form. It is compiled
  once; every mistake in it is a SettingsError that names the table and key and says what to write.
- A path is dotted keys and nothing more: no expressions, no conditions, no templates but `{path}` in a name. What paths
  cannot say is one of the closed set of readers (core/readers.py).
- `parser` names a reading: the field table's digest and that of what this format reads, not of where it reads it from.
"""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from syncer.core import fields, prices
from syncer.core.prices import UNKNOWN, Unit
from syncer.core.readers import READERS, Reader
from syncer.errors import SettingsError

DEFAULT = "serverless"
_BUILT_IN = FilePath(__file__).parent.parent / "formats"
Path = tuple[str, ...]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CURRENCY = re.compile(r"[A-Z]{3}")
_IN_BRACES = re.compile(r"\{([^{}]*)\}")
_BASE_URL = "{API_URL}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATH = 'keys joined by dots, such as "pricing.prompt", or a list of keys where a key holds a dot'


class Lookup(msgspec.Struct, frozen=True):
    """Where a value stands: at `path`, of the element (or, with `outer`, of the element that a `split` one stands in).

    With `where`, `path` is within the one item of the list at `list` whose fields equal these.
    """

    path: Path
    outer: bool = False
    list: Path = ()
    where: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        whole = ("^" if self.outer else "") + ".".join(self.list or self.path)
        wanted = ", ".join(f"{key} = {value}" for key, value in self.where)
        return f"{whole} ({wanted}: {'.'.join(self.path)})" if self.where else whole


class Component(msgspec.Struct, frozen=True):
    """One price: where it is and how it is published; `times` is the component that it is a multiple of."""

    name: str
    lookup: Lookup
    unit: Unit
    times: str | None = None
    optional: bool = False


class Header(msgspec.Struct, frozen=True):
    """A request header: its value, or the environment variable that holds it."""

    name: str
    value: str | None = None
    env: str | None = None


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """How the rest of a list is asked for: by a cursor, a link, an offset or a page number; none of them: `whole`.

    `parameter` is the query's for a cursor, an offset or a page; `start` its value on the first page.
    """

    cursor: Path = ()
    next: Path = ()
    parameter: str = ""
    more: Path = ()
    size: int = 0
    start: int = 0
    numbered: bool = False

    @property
    def whole(self) -> bool:
        """Whether the format says that one response is the whole list, whatever hints it holds."""
        return not (self.cursor or self.next or self.parameter)


class CompiledFormat(msgspec.Struct, frozen=True, kw_only=True):
    """One format, checked. `models` is the path to the list, with `*` for each key of a map.

    `endpoint` is the path that is put behind a base URL which only the user knows, unless it ends so already.

    `name_parts` are the texts, `$N` keys and lookups that a model's name is joined from.
    """

    name: str
    url: str | None
    endpoint: str
    auth: str
    headers: tuple[Header, ...]
    currency: str | None
    headline: str
    price_units: Mapping[str, tuple[int, str]]
    pages: Pages | None
    models: Path
    split: Path
    name_parts: tuple[str | int | Lookup, ...]
    skip: frozenset[str]
    success: tuple[tuple[Path, Any], ...]
    message: Path
    fields: Mapping[str, Lookup]
    components: tuple[Component, ...]
    reader: Reader | None
    parser: str

    @property
    def stars(self) -> int:
        """How many keys of maps stand above an element: 0 for a list."""
        return self.models.count("*")


def names() -> tuple[str, ...]:
    """The built-in formats, the default first."""
    found = (file.stem for file in _BUILT_IN.glob("*.toml"))
    return tuple(sorted(found, key=lambda name: (name != DEFAULT, name)))


def show(name: str) -> str:
    """A built-in format as it is written: a table `[formats.NAME]` that can be pasted into syncer.toml."""
    if name not in names():
        raise SettingsError(f"There is no built-in format {name!r}{_nearest(name, names())}.")
    return (_BUILT_IN / f"{name}.toml").read_text("utf-8")


@cache
def builtin(name: str) -> CompiledFormat:
    """A built-in format by name; raises SettingsError with the nearest name where there is none."""
    return compile(_table(name), name, f"syncer/formats/{name}.toml")


def compile(  # noqa: A001 - what it is called everywhere: a format is compiled
    table: Mapping[str, Any], name: str, place: str, others: Mapping[str, Mapping[str, Any]] | None = None
) -> CompiledFormat:
    """A table `[formats.NAME]` of `place`, checked; it may extend a built-in format or one of `others`.

    Raises SettingsError for the first mistake.
    """
    return _Compiler(name, place).compiled(_extended(table, name, place, others or {}))


def _table(name: str) -> Mapping[str, Any]:
    written: Mapping[str, Any] = tomllib.loads(show(name))["formats"][name]
    return written


def _extended(
    table: Mapping[str, Any], name: str, place: str, others: Mapping[str, Mapping[str, Any]], above: Path = ()
) -> dict[str, Any]:
    """The table over the one that it extends; an empty text takes an inherited field or price away."""
    base = table.get("extends")
    if base is None:
        return dict(table)
    known = (*others, *names())
    if not isinstance(base, str) or (base not in known):
        raise SettingsError(
            f"{place}: formats.{name}.extends: there is no format {base!r}{_nearest(str(base), known)}."
        )
    if base in above or (base == name and base not in names()):
        raise SettingsError(f"{place}: formats.{name}.extends: {' -> '.join((*above, base))} goes round in a circle.")
    start = _table(base) if base == name or base not in others else others[base]
    whole = _extended(start, base, place, others, (*above, base))
    for key, value in table.items():
        if key in {"fields", "prices"} and isinstance(value, dict):
            merged = {**whole.get(key, {}), **value}
            whole[key] = {inner: path for inner, path in merged.items() if path != ""}
        elif key != "extends":
            whole[key] = value
    return whole


def _nearest(name: str, known: tuple[str, ...]) -> str:
    import difflib  # only for the sentence about a mistake

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; perhaps {near[0]!r} is meant" if near else f"; there are {', '.join(known)}"


class _Compiler:
    """One format while it is read; it knows where a mistake stands."""

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.where = f"{place}: formats.{name}"
        if not _NAME.fullmatch(name):
            self.wrong("", "a format's name is up to 64 letters, digits, dots, dashes and underscores")

    def wrong(self, key: str, what: str) -> NoReturn:
        """Refuse the value at `key`."""
        raise SettingsError(f"{self.where}{'.' + key if key else ''}: {what}.")

    def compiled(self, table: dict[str, Any]) -> CompiledFormat:
        """The whole format."""
        self.known("", table, tuple(_KEYS))
        table = {key: value for key, value in table.items() if key != "extends"}
        models = self.models(table)
        unit = self.unit("unit", table["unit"]) if "unit" in table else UNKNOWN
        components = self.components(self.inner(table, "prices"), unit)
        fields_read = self.fields(self.inner(table, "fields"))
        reader = self.reader(table)
        split = self.path("split", table["split"]) if table.get("split") else ()
        name_parts = self.name_parts(table, models.count("*"))
        self.outer_only_in_split(split, [*fields_read.values(), *(c.lookup for c in components), *name_parts])
        return CompiledFormat(
            name=self.name,
            url=self.url(table),
            endpoint=self.endpoint(table),
            auth=self.auth(table),
            headers=self.headers(self.inner(table, "headers")),
            currency=self.text(table, "currency", _CURRENCY, 'three capital letters, such as "USD"'),
            headline=self.headline(table, components),
            price_units={c.name: (c.unit.quantity, c.unit.of) for c in components if c.unit.of},
            pages=self.pages(table),
            models=models,
            split=split,
            name_parts=name_parts,
            skip=self.skip(table),
            success=self.success(self.inner(table, "success")),
            message=self.path("message", table["message"]) if table.get("message") else (),
            fields=fields_read,
            components=components,
            reader=reader,
            parser=_parser(table, reader),
        )

    # -- small things --------------------------------------------------------------------------------------------------

    def known(self, key: str, table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        """Refuse a key that means nothing, with the nearest one that does."""
        for unknown in table:
            if unknown not in allowed:
                self.wrong(f"{key}.{unknown}" if key else unknown, f"there is no such key{_nearest(unknown, allowed)}")

    def inner(self, table: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The table at `key`, empty if there is none."""
        value = table.get(key, {})
        if not isinstance(value, dict):
            self.wrong(key, f"write a table, such as [formats.{self.name}.{key}]")
        return value

    def text(self, table: Mapping[str, Any], key: str, pattern: re.Pattern[str], expected: str) -> str | None:
        """The text at `key` that matches, or None where there is none."""
        value = table.get(key)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            self.wrong(key, f"write {expected}")
        return value

    def path(self, key: str, value: object) -> Path:
        """Dotted keys, or a list of keys."""
        keys = value.split(".") if isinstance(value, str) else value
        if not isinstance(keys, list) or not keys or not all(isinstance(part, str) and part for part in keys):
            self.wrong(key, f"write a path: {_PATH}")
        return tuple(keys)

    def lookup(self, key: str, value: object) -> Lookup:
        """A path; a leading `^` is the element around a split one."""
        path = self.path(key, value)
        outer = path[0].startswith("^")
        if path == ("^",):
            self.wrong(key, f"write a path after ^: {_PATH}")
        return Lookup((path[0][1:], *path[1:]) if outer else path, outer)

    def outer_only_in_split(self, split: Path, lookups: list[Any]) -> None:
        """Refuse `^` where there is no element around."""
        for lookup in lookups:
            if not split and isinstance(lookup, Lookup) and lookup.outer:
                self.wrong("", f"the path {lookup} needs `split`: ^ is the element around the items of a split one")

    # -- the request ---------------------------------------------------------------------------------------------------

    def url(self, table: Mapping[str, Any]) -> str | None:
        """An address of http or https, without a user's name or password."""
        value = table.get("url")
        if value is None or self.endpoint(table):
            return None
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
            self.wrong("url", 'write the address of the list, such as "https://api.acme.example/v1/models"')
        if parts.username is not None or parts.password is not None:
            self.wrong("url", "write no user name or password into an address; set the key as usual")
        return str(value)

    def endpoint(self, table: Mapping[str, Any]) -> str:
        """What the list's path ends in, of an address that begins with the user's own base URL; else empty."""
        value = table.get("url")
        rest = value.removeprefix(_BASE_URL) if isinstance(value, str) and value.startswith(_BASE_URL) else ""
        if rest and not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", rest):
            self.wrong("url", f'write the path that follows the base URL, such as "{_BASE_URL}/v1/models"')
        return rest

    def auth(self, table: Mapping[str, Any]) -> str:
        """`bearer`, `none`, or the name of the header that carries the key."""
        return self.text(table, "auth", _HEADER, '"bearer", "none", or the name of the header for the key') or "bearer"

    def headers(self, table: Mapping[str, Any]) -> tuple[Header, ...]:
        """Extra headers; a secret one names its variable."""
        return tuple(self.header(name, value) for name, value in table.items())

    def header(self, name: str, value: object) -> Header:
        """One extra header."""
        key = f"headers.{name}"
        if not _HEADER.fullmatch(name):
            self.wrong(key, "this cannot be the name of a header")
        if isinstance(value, dict) and value.keys() == {"env"} and isinstance(value["env"], str):
            if not _VARIABLE.fullmatch(value["env"]):
                self.wrong(key, "write the name of an environment variable, such as TEAM")
            return Header(name, env=value["env"])
        if not isinstance(value, str) or not re.fullmatch(r"[ -~]*", value):
            self.wrong(key, 'write a text of printable ASCII, or { env = "TEAM" } for a secret one')
        return Header(name, value)

    def pages(self, table: Mapping[str, Any]) -> Pages | None:
        """How the rest of the list is asked for; None where the format says nothing."""
        value = table.get("pages")
        if value is None or value == "whole":
            return None if value is None else Pages()
        if not isinstance(value, dict) or len(value.keys() & _PAGES.keys()) != 1:
            self.wrong("pages", f'write "whole", or a table with one of {", ".join(_PAGES)}')
        (way,) = value.keys() & _PAGES.keys()
        self.known("pages", value, _PAGES[way])
        size, first = value.get("size", 0), value.get("first", 1)
        if type(size) is not int or type(first) is not int or size < 0 or first < 0:
            self.wrong("pages", "size and first are whole numbers")
        if way == "next":
            return Pages(next=self.path("pages.next", value["next"]))
        if way == "cursor":
            more = self.path("pages.more", value["more"]) if "more" in value else ()
            return Pages(
                cursor=self.path("pages.cursor", value["cursor"]),
                parameter=self.parameter("pages.parameter", value.get("parameter")),
                more=more,
            )
        parameter = self.parameter(f"pages.{way}", value[way])
        return Pages(parameter=parameter, size=size, start=first if way == "page" else 0, numbered=way == "page")

    def parameter(self, key: str, value: object) -> str:
        """The name of a parameter of the query."""
        if not isinstance(value, str) or not value:
            self.wrong(key, 'write the name of the parameter in the query, such as "after_id"')
        return value

    # -- the elements --------------------------------------------------------------------------------------------------

    def models(self, table: Mapping[str, Any]) -> Path:
        """The path to the list; empty where the body is it."""
        value = table.get("models")
        if value is None:
            self.wrong("models", 'say where the list is: "data", or "" where the body is it, or "*" for a map')
        path = () if value in ("", []) else self.path("models", value)
        if "*" in path and path[-1] != "*":
            self.wrong("models", "a path with * ends with *: what stands at it are the models")
        return path

    def name_parts(self, table: Mapping[str, Any], stars: int) -> tuple[str | int | Lookup, ...]:
        """What a model's name is joined from: one path, or a text with `{path}` and `{$1}`."""
        value = table.get("name")
        if value is None:
            self.wrong("name", 'say what a model is called: a path such as "id", or a text such as "{$1}/{$2}"')
        if not isinstance(value, str) or not ("{" in value or "}" in value):
            return (self.lookup("name", value),)
        parts: list[str | int | Lookup] = []
        for index, part in enumerate(_IN_BRACES.split(value)):
            if index % 2 == 0:
                if "{" in part or "}" in part:
                    self.wrong("name", "each { needs its }")
                parts += [part] if part else []
            elif part.startswith("$"):
                if part[1:] not in {str(number + 1) for number in range(stars)}:
                    self.wrong("name", f"{{{part}}} is the key of a map; `models` has {stars} of them (*)")
                parts.append(int(part[1:]))
            else:
                parts.append(self.lookup("name", part))
        return tuple(parts)

    def skip(self, table: Mapping[str, Any]) -> frozenset[str]:
        """Names that are no models."""
        value = table.get("skip", [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            self.wrong("skip", 'write a list of names, such as ["sample_spec"]')
        return frozenset(value)

    def success(self, table: Mapping[str, Any]) -> tuple[tuple[Path, Any], ...]:
        """What the envelope must say."""
        for key, value in table.items():
            if not isinstance(value, str | bool | int):
                self.wrong(f"success.{key}", 'write what must stand there, such as { status = "success" }')
        return tuple((self.path(f"success.{key}", key), value) for key, value in table.items())

    def fields(self, table: Mapping[str, Any]) -> dict[str, Lookup]:
        """The path of each tracked field that the format has."""
        tracked = tuple(field.name for field in fields.FIELDS)
        self.known("fields", table, tracked)
        return {name: self.lookup(f"fields.{name}", table[name]) for name in tracked if name in table}

    def reader(self, table: Mapping[str, Any]) -> Reader | None:
        """One of the closed set of readers."""
        name = table.get("reader")
        if name is None:
            return None
        if name not in READERS:
            self.wrong("reader", f"there is no reader {name!r}{_nearest(str(name), tuple(READERS))}")
        return READERS[name]

    # -- prices --------------------------------------------------------------------------------------------------------

    def headline(self, table: Mapping[str, Any], components: tuple[Component, ...]) -> str:
        """The component that stands for a model's prices: `input`, or the first one, unless the format says another."""
        present = tuple(component.name for component in components)
        value = table.get("headline", "input" if "input" in present else next(iter(present), "price"))
        if present and value not in present:
            self.wrong("headline", f"there is no component {value!r} in prices{_nearest(str(value), present)}")
        return str(value)

    def components(self, table: Mapping[str, Any], unit: Unit) -> tuple[Component, ...]:
        """Each price, those that others are multiples of first."""
        read: dict[str, Component] = {}
        for name, value in table.items():
            if not prices.is_component(name):
                self.wrong(
                    f"prices.{name}",
                    "a component is called by small letters, digits and _, with an optional suffix such as @batch",
                )
            read[name] = self.component(name, value, unit)
        return tuple(self.in_its_unit(component, read, table) for component in read.values())

    def component(self, name: str, value: object, unit: Unit) -> Component:
        """One price: a path, or a table."""
        key = f"prices.{name}"
        if not isinstance(value, dict):
            return Component(name, self.lookup(key, value), unit)
        self.known(key, value, _PRICE)
        if "path" not in value:
            self.wrong(key, f"say its path: {_PATH}")
        lookup = self.lookup(f"{key}.path", value["path"])
        if "list" in value or "where" in value:
            lookup = self.listed(key, value, lookup)
        times, optional = value.get("times"), value.get("optional", False)
        if times is not None and not isinstance(times, str):
            self.wrong(f"{key}.times", "write the component that this one is a multiple of")
        if not isinstance(optional, bool):
            self.wrong(f"{key}.optional", "write true or false")
        return Component(name, lookup, self.unit(key, value, unit), times, optional)

    def listed(self, key: str, value: Mapping[str, Any], lookup: Lookup) -> Lookup:
        """The one item of a list whose fields equal `where`."""
        where = value.get("where")
        if "list" not in value or not isinstance(where, dict) or not where:
            self.wrong(key, '`list` and `where` belong together, such as where = { sku = "LLM output tokens" }')
        if not all(isinstance(wanted, str | int | bool) for wanted in where.values()):
            self.wrong(f"{key}.where", "each of its values is a text, a whole number, true or false")
        at = self.lookup(f"{key}.list", value["list"])
        return Lookup(lookup.path, at.outer, at.path, tuple(where.items()))

    def in_its_unit(self, component: Component, read: Mapping[str, Component], table: Mapping[str, Any]) -> Component:
        """A multiple is in the unit of what it is a multiple of."""
        if component.times is None:
            return component
        base = read.get(component.times)
        key = f"prices.{component.name}.times"
        if base is None:
            self.wrong(key, f"there is no component {component.times!r} in prices{_nearest(component.times, (*read,))}")
        if base.times is not None:
            self.wrong(key, f"{component.times!r} is a multiple itself; name the component that it is a multiple of")
        own = {k: v for k, v in table[component.name].items() if k in _UNIT}
        unit = self.unit(f"prices.{component.name}", own, base.unit)
        return msgspec.structs.replace(component, unit=unit)

    def unit(self, key: str, value: object, base: Unit = Unit()) -> Unit:  # noqa: B008 - a frozen value
        """How numbers are published; what is not said is as `base` says."""
        if not isinstance(value, dict):
            self.wrong(key, 'write a table, such as unit = { per = 1000, of = "token" }')
        if key == "unit":
            self.known(key, value, _UNIT)
        per = value.get("per", base.per)
        if type(per) is not int or not re.fullmatch("10*", str(per)) or per > 10**12:
            self.wrong(f"{key}.per", "write 1, 10, 100, 1000 and so on: how many of it the published price is for")
        of = value.get("of", base.of or ("token" if value.keys() & {"per", "factor"} else ""))
        if not isinstance(of, str) or ((of or "of" in value) and not re.fullmatch("[a-z][a-z0-9_ ]{0,30}", of)):
            self.wrong(f"{key}.of", 'write what is paid for, such as "token" or "image"')
        varies = value.get("varies")
        return Unit(
            per=per,
            of=of,
            factor=self.factor(f"{key}.factor", value.get("factor"), base.factor),
            varies=base.varies if varies is None else self.varies(f"{key}.varies", varies),
        )

    def factor(self, key: str, value: object, base: Decimal) -> Decimal:
        """A power of ten, written as a text, so that it is exact."""
        if value is None:
            return base
        try:
            factor = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else Decimal("nan")
        except InvalidOperation:
            factor = Decimal("nan")
        if not factor.is_finite() or factor <= 0 or factor.normalize().as_tuple().digits != (1,):
            self.wrong(key, 'write a power of ten as a text, such as "0.01" for cents')
        if abs(factor.adjusted()) > 18:
            self.wrong(key, "a factor is between 1e-18 and 1e18")
        return factor

    def varies(self, key: str, value: object) -> frozenset[Decimal]:
        """Numbers that mean that there is no fixed price."""
        if not isinstance(value, list):
            self.wrong(key, 'write a list of numbers, such as ["-1"]')
        try:
            return frozenset(prices.published(Decimal(str(n)) if isinstance(n, float) else n) for n in value)
        except ValueError:
            self.wrong(key, 'write a list of numbers, such as ["-1"]')


_UNIT = ("per", "of", "factor", "varies")
_PRICE = ("path", "list", "where", "times", "optional", *_UNIT)
_PAGES: Mapping[str, tuple[str, ...]] = {
    "cursor": ("cursor", "parameter", "more"),
    "next": ("next",),
    "offset": ("offset", "size"),
    "page": ("page", "first"),
}
_READING = ("models", "split", "name", "skip", "unit", "headline", "reader", "fields", "prices")
"""The keys that say how an element is read; the others say how the response is asked for, and are in no digest."""
_KEYS = (*_READING, "extends", "url", "currency", "success", "message", "pages", "auth", "headers")


def _parser(table: Mapping[str, Any], reader: Reader | None) -> str:
    """The name of the reading: equal bytes give equal listings under equal names."""
    read = {key: table[key] for key in _READING if key in table}
    stated = [fields.digest(), prices.VERSION, reader.version if reader else 0, read]
    encoded = msgspec.json.encode(stated, order="sorted", enc_hook=str)
    return blake2b(encoded, digest_size=8).hexdigest()
