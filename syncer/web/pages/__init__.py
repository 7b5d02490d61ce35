"""The pages: what each of them asks, as the context of its template. No HTML is written here, and none of them writes.

Adding one is a function of a `Visit`, a line in `PAGES` and a template.
"""

from collections.abc import Callable, Mapping

from syncer.manual import TOPICS
from syncer.web.pages.catalog import catalog
from syncer.web.pages.changes import changes
from syncer.web.pages.compare import compare
from syncer.web.pages.compare_models import compare_models
from syncer.web.pages.manual import manual, manual_page
from syncer.web.pages.model import model
from syncer.web.pages.offers import offers
from syncer.web.pages.overview import overview
from syncer.web.pages.page import Page, problem
from syncer.web.pages.sources import sources
from syncer.web.site import Visit

PageOf = Callable[[Visit], Page]

PAGES: Mapping[str, PageOf] = {
    "/": overview,
    "/catalog": catalog,
    "/model": model,
    "/changes": changes,
    "/compare": compare,
    "/compare/models": compare_models,
    "/offers": offers,
    "/sources": sources,
    "/manual": manual,
    **{f"/manual/{topic}": manual_page(topic) for topic in TOPICS},
}

__all__ = ["PAGES", "Page", "PageOf", "problem"]
