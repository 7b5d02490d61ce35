"""The pages: what each of them asks, as the context of its template. No HTML is written here, and none of them writes.

Adding one is a function of a `Visit`, a line in `PAGES` and a template.
"""

from collections.abc import Callable, Mapping

from syncer.web.pages.catalog import catalog
from syncer.web.pages.changes import changes
from syncer.web.pages.model import model
from syncer.web.pages.overview import overview
from syncer.web.pages.page import Page, problem
from syncer.web.site import Visit

PageOf = Callable[[Visit], Page]

PAGES: Mapping[str, PageOf] = {
    "/": overview,
    "/catalog": catalog,
    "/model": model,
    "/changes": changes,
}

__all__ = ["PAGES", "Page", "PageOf", "problem"]
