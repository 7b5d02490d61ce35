"""The register of sinks: where the events of an `[[alerts]]` table can go, and the keys that say so.

A sink is one module in `syncer.alerts.sinks`. It registers one frozen struct: its fields are the keys of the table,
each with its rule, and `open` makes what takes the messages. Nothing else names a sink, so that a new one is one file.
The modules are imported when the first `[[alerts]]` table is read: a program that is told nothing pays nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec

_PACKAGE = "syncer.alerts.sinks"
_KINDS: dict[str, "type[SinkSettings]"] = {}


class Opening(NamedTuple):
    """What a sink is opened with: for which consumer, the environment, and the aware present for signatures."""

    consumer: str
    environ: Mapping[str, str]
    clock: Callable[[], datetime]


class SinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an `[[alerts]]` table that says where its events go: one sink's keys.

    Exactly one of `ADDRESSES`, of all sinks together, stands in a table and so chooses the sink. `TOOK` is what it
    means that this sink took a message.
    """

    ADDRESSES: ClassVar[tuple[str, ...]] = ()
    TOOK: ClassVar[str] = ""

    def find_mistake(self) -> str | None:
        """What is wrong with these keys together, and what to write instead."""
        return None

    def placed_in(self, folder: Path) -> Self:  # noqa: ARG002 - for those that hold paths
        """The same with each relative path made one of `folder`."""
        return self

    def written(self) -> tuple[Path, ...]:
        """The files that this sink writes."""
        return ()

    def open(self, opening: Opening) -> Callable[[Any], None]:
        """What takes a message, with the addresses and secrets that variables hold now.

        Raises SettingsError, which never quotes what it read, if a variable or an extra is missing.
        """
        raise NotImplementedError


Kind = TypeVar("Kind", bound=type[SinkSettings])


def register(kind: Kind) -> Kind:
    """Make a sink known by each of its addresses. A decorator for its settings."""
    for key in kind.ADDRESSES:
        _KINDS[key] = kind
    return kind


def kinds() -> Mapping[str, type[SinkSettings]]:
    """Address -> the settings of its sink, in alphabetical order."""
    _import_all()
    return {key: _KINDS[key] for key in sorted(_KINDS)}


@cache
def _import_all() -> None:
    from pkgutil import iter_modules

    # By name, so that settings stay below alerts: no module of this package imports one of that.
    for module in iter_modules(import_module(_PACKAGE).__path__):
        import_module(f"{_PACKAGE}.{module.name}")
