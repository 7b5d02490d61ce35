"""Who sells one model, and at what price."""

from itertools import groupby

from syncer import history
from syncer.core.words import count_of
from syncer.errors import UsageError
from syncer.web import words
from syncer.web.pages.page import Page, Twin, status_of
from syncer.web.site import Visit


def offers(visit: Visit) -> Page:
    """`/offers?model=&at=`"""
    query = visit.query
    form = {name: query.raw(name) for name in ("model", "at")}
    found: list[history.Offer] = []
    error: UsageError | None = None
    try:
        name, at = query.text("model"), query.moment("at")
        found = [] if name is None else history.offers(visit.connection, name, at=at)
    except UsageError as refused:
        error = refused
    tables = [
        (words.label(component), words.money(currency, unit), list(its))
        for (component, currency, unit), its in groupby(found, key=lambda one: (one.component, one.currency, one.unit))
    ]
    sources = len({offer.source for offer in found})
    return Page(
        template="offers.html",
        title="Offers",
        section="compare",
        status=200 if error is None else status_of(error),
        context={
            "form": form,
            "error": None if error is None else str(error),
            "nearest": getattr(error, "nearest", ()),
            "tables": tables,
            "summary": f"{count_of(sources, 'source')} offer{'s' * (sources == 1)} it." if found else "",
        },
        twins=[Twin(form.upper(), f"/api/v1/offers.{form}{query.with_()}") for form in ("json", "csv")]
        if found
        else [],
    )
