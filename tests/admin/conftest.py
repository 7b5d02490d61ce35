"""What the tests of whole databases share: as many of them as a test wants."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

Fresh = Callable[[str], str]
"""Makes an empty database of the kind that is named, and gives its URL."""


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: "Path") -> Fresh:
    """As many empty databases as a test wants."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db"
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.start()
        return postgres.create_database()

    return make
