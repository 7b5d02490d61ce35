"""What went wrong, for programs: RFC 9457 problem details."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from syncer.core.text import json_line
from syncer.errors import AmbiguousModel, SyncerError, UnknownComponent, UnknownModel


def document(status: int, detail: str, headers: Mapping[str, str], error: SyncerError | None = None) -> Response:
    """A problem document: its title is that of the status, `detail` the sentence."""
    body: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if isinstance(error, UnknownModel):
        body["nearest"] = error.nearest
    if isinstance(error, UnknownComponent):
        body["known"] = error.known
    if isinstance(error, AmbiguousModel):
        body["candidates"] = [{"source": source, "model": model} for source, model in error.candidates]
    return Response(json_line(body), status, media_type="application/problem+json", headers=dict(headers))
