"""What syncer serves over HTTP. It needs the extra `web`; importing it without raises UsageError that says so."""

from importlib.util import find_spec

from syncer.core.words import how_to_install
from syncer.errors import UsageError

for _needed in ("starlette", "uvicorn", "prometheus_client", "markdown_it"):
    if find_spec(_needed) is None:
        raise UsageError(f"serving pages needs {_needed}: {how_to_install('web')}")
