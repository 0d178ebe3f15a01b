"""The files of the pages that people look at: the playground at GET /, and the API's documentation at GET /docs."""

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serving.caching import matches
from serving.errors import no_such_path
from serving.request_reading import header_items

_FOLDER = Path(__file__).parent / "pages"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

NAMES = frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES)

# blob: is for animations, whose addresses take no GET, and for all images where keys are needed.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_POLICIES = {"docs.html": _POLICY.replace("blob:", "data:")}  # Swagger UI has its icons in its style sheet


def answer(name: str, request: Request) -> Response:
    """The file of this name, or 304 if the caller has it. Raises RequestError, 404, if there is none."""
    if name not in NAMES:
        raise no_such_path(request.scope["path"])
    content, headers = _read(name)
    if matches(header_items(request, "if-none-match"), headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(content, headers=headers, media_type=_MEDIA_TYPES[Path(name).suffix])


@cache
def _read(name: str) -> tuple[bytes, dict[str, str]]:
    """The content, and headers with which no file outlives an upgrade, and nothing is loaded from elsewhere."""
    content = (_FOLDER / name).read_bytes()
    return content, {
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICIES.get(name, _POLICY),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
