"""Templates to HTML: everything is escaped, and nothing that is missing goes unnoticed."""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

from syncer import __version__
from syncer.web import words
from syncer.web.query import encoded

if TYPE_CHECKING:
    from syncer.web import report
    from syncer.web.pages import Page
    from syncer.web.site import Visit

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def static_file(name: str) -> str:
    """The text of a static file."""
    return resources.files(__package__).joinpath("static", name).read_text("utf-8")


@cache
def static_path(name: str) -> str:
    """Where a static file is served: its name holds its digest, so that it may be kept for ever."""
    stem, _, ending = name.partition(".")
    return f"/static/{stem}.{blake2b(static_file(name).encode(), digest_size=6).hexdigest()}.{ending}"


def static_files() -> dict[str, tuple[bytes, str]]:
    """Path -> the bytes and the media type of each static file."""
    return {
        static_path(name): (static_file(name).encode(), _TYPES[name.rpartition(".")[2]])
        for name in ("style.css", "chart.js", "live.js", "icon.svg")
    }


def pictures() -> dict[str, tuple[bytes, str]]:
    """Path -> the bytes and the media type of each picture of the manual."""
    found = (file for file in resources.files("syncer.manual").iterdir() if file.name.endswith(".png"))
    return {f"/manual/{file.name}": (file.read_bytes(), "image/png") for file in found}


class Links:
    """Where things are: as the server serves them."""

    live = True

    def model(self, source: str, name: str) -> str | None:
        """The page of a model; None where there is none to link to."""
        return f"/model{encoded([('source', source), ('name', name)])}"

    def to(self, path: str, *, anchor: str = "", **query: object) -> str:
        """A page, with a query of its own, and a place on it."""
        asked = encoded([(name, str(value)) for name, value in query.items() if value is not None])
        return f"{path}{asked}{f'#{anchor}' if anchor else ''}"


class Renderer:
    """The templates, compiled once; `links` says where things are."""

    def __init__(self, links: "Links | report.Links | None" = None) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader(__package__, "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=words.shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "words": words,
            "version": __version__,
            "static": static_path,
            "links": links or Links(),
            "encoded": encoded,
        }

    def page(self, visit: "Visit | None", page: "Page") -> str:
        """A whole page; without a visit (the database cannot be asked), without what stands on every page."""
        return self.text(page.template, {**page.context, "page": page, "visit": visit, "year": _year(visit)})

    def text(self, template: str, context: Mapping[str, Any]) -> str:
        """Any template."""
        return self._environment.get_template(template).render(context)


def _year(visit: "Visit | None") -> int | None:
    return None if visit is None else visit.now.year
