"""Questions about the past, read-only. One line from nothing to an answer:

    from syncer import history

    with history.connect("sqlite:///syncer.db") as connection:
        quote = history.price_at(connection, "deepseek-ai/DeepSeek-R1", at=noon)

- Each function takes a SQLAlchemy Connection or ORM Session first and returns frozen values; `as_dicts` makes them rows
  for pandas, `as_json` JSON lines.
- Times are aware and periods half-open, `[from, to)`; a naive time raises ValueError.
- Prices are canonical Decimals, None is unknown, and all arithmetic on them is exact (law 4).
- The past is ordered by `effective_at`, the feed by `id` (law 6).
"""

from syncer.history.catalog import CatalogRow, Difference, ListedModel, catalog, catalog_at, diff
from syncer.history.costs import Cost, CostTotal, Unpriced, Usage, cost, cost_totals
from syncer.history.feed import ChangeRow, RunRow, changes, feed_end, runs
from syncer.history.findings import Held, HeldModel, held
from syncer.history.forms import as_dicts, as_json
from syncer.history.health import Churn, Flapping, Freshness, churn, flapping, freshness
from syncer.history.movers import Mover, movers, unranked
from syncer.history.notices import NoticeRow, notices
from syncer.history.offers import Offer, offers
from syncer.history.pages import CatalogPage, Counts, Day, Sort, Step, activity, catalog_page, counts, sparks
from syncer.history.prices import (
    Availability,
    Interval,
    PricePeriod,
    PriceStats,
    Quote,
    availability,
    price_at,
    price_periods,
    price_stats,
    prices_at,
)
from syncer.history.resolve import NotObserved, Unit, connect, not_observed

__all__ = [
    "Availability",
    "CatalogPage",
    "CatalogRow",
    "ChangeRow",
    "Churn",
    "Cost",
    "CostTotal",
    "Counts",
    "Day",
    "Difference",
    "Flapping",
    "Freshness",
    "Held",
    "HeldModel",
    "Interval",
    "ListedModel",
    "Mover",
    "NotObserved",
    "NoticeRow",
    "Offer",
    "PricePeriod",
    "PriceStats",
    "Quote",
    "RunRow",
    "Sort",
    "Step",
    "Unit",
    "Unpriced",
    "Usage",
    "activity",
    "as_dicts",
    "as_json",
    "availability",
    "catalog",
    "catalog_at",
    "catalog_page",
    "changes",
    "churn",
    "connect",
    "cost",
    "cost_totals",
    "counts",
    "diff",
    "feed_end",
    "flapping",
    "freshness",
    "held",
    "movers",
    "not_observed",
    "notices",
    "offers",
    "price_at",
    "price_periods",
    "price_stats",
    "prices_at",
    "runs",
    "sparks",
    "unranked",
]
