"""One nursery of child processes for all tests of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import clean_environment
from tests.faults.child import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _nursery() -> Iterator[Nursery]:
    """The session's one nursery process."""
    with Nursery(clean_environment()) as started:
        yield started


@pytest.fixture
def nursery(_nursery: Nursery) -> Iterator[Nursery]:
    """Where a test starts its child processes; those it leaves running are killed."""
    yield _nursery
    _nursery.end()
