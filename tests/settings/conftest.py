"""A folder with a syncer.toml."""

from collections.abc import Callable
from pathlib import Path

import pytest

from syncer import settings
from syncer.settings import Settings

URL = "https://api.example.com/api/v1"
SECRET = "ak_5ecret"

Loader = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    """Load a syncer.toml of this text (None: no file) under these variables."""

    def load(text: str | None = None, **environ: str) -> Settings:
        if text is not None:
            (tmp_path / "syncer.toml").write_text(text, "utf-8")
        return settings.load(environ, cwd=tmp_path)

    return load
