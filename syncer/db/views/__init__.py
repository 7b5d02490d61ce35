"""The stable surface for reports and the guard of the history: one .sql file for each view or trigger and dialect.

- These files are the only truth. A migration carries the text of those that it changes; a test holds the two together.
- Asking a view for one model, or for one model and component, is a seek: a filter on a name does not reach into a
  window function on either database, so PostgreSQL gets LATERAL joins and SQLite correlated lookups.
- A file begins with one CREATE; on PostgreSQL its comments follow. Views of ours are never dropped lightly: analysts
  build on them (migrations/operations.py).
"""

from functools import cache
from pathlib import Path

VIEWS = (
    "catalog",
    "catalog_prices",
    "price_periods",
    "price_changes",
    "daily_prices",
    "availability",
    "feed_events",
    "offers",
)
"""The views, in an order in which they can be created."""

_HERE = Path(__file__).parent


@cache
def view(dialect: str, name: str) -> str:
    """The text of a view's file."""
    return (_HERE / dialect / f"{name}.sql").read_text()


@cache
def triggers(dialect: str) -> dict[str, str]:
    """Trigger or function -> the text of its file, functions first: triggers call them."""
    files = sorted((_HERE.parent / "triggers" / dialect).glob("*.sql"))
    texts = {path.stem: path.read_text() for path in files}
    return dict(sorted(texts.items(), key=lambda one: "CREATE FUNCTION" not in one[1]))


def create(text: str) -> str:
    """The CREATE statement of a file, without the comments around it."""
    statement = text[text.index("CREATE ") :].rstrip().removesuffix(";")
    return statement.split(";\n\nCOMMENT ON ")[0]
