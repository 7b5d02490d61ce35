"""One nursery of child processes for all tests of faults."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conftest import SHELL_NAMES, SHELL_PREFIXES
from tests.faults.child import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _nursery() -> Iterator[Nursery]:
    """The session's one nursery process."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(SHELL_PREFIXES) and not name.lower().endswith("_proxy") and name not in SHELL_NAMES
    }
    with Nursery(clean) as started:
        yield started


@pytest.fixture
def nursery(_nursery: Nursery) -> Iterator[Nursery]:
    """Where a test starts its child processes; those it leaves running are killed."""
    yield _nursery
    _nursery.end()
