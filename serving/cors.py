"""Web pages on other origins that may call the service from a browser (CORS)."""

from collections.abc import Sequence

from pydantic import AnyUrl, ValidationError
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ANY = "*"
# What a page's script may read of an answer, beside its body and what browsers always show
_EXPOSED = ("X-Seed", "X-Model", "Server-Timing", "ETag", "Retry-After", "Content-Disposition")
_USUAL_PORTS = {"http": 80, "https": 443}  # which browsers leave out of the header Origin


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """The application for pages of these origins too; as it is where there are none.

    It belongs around the check of keys: browsers first ask without one, and a page is to read refusals too.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
        allow_private_network=ANY not in origins,
    )


def origin(text: str) -> str:
    """An origin as browsers write it: lower case, no usual port, no slash at the end. Raises ValueError for what is none."""
    if text == ANY:
        return text
    if "*" in text:
        raise ValueError(f"{text!r}: this setting knows no patterns: name every origin, or write * for all")
    if "://" not in text:
        raise ValueError(f"{text!r} has no scheme: write https://{text} or http://{text}")
    try:
        url = AnyUrl(text)
    except ValidationError:
        url = None
    if url is None or not url.host:
        raise ValueError(f"{text!r} is not an origin: write scheme://host or scheme://host:port")
    port = "" if url.port in (None, _USUAL_PORTS.get(url.scheme)) else f":{url.port}"
    found = f"{url.scheme}://{url.host}{port}"
    if url.path not in (None, "", "/") or any(part is not None for part in (url.query, url.fragment, url.username, url.password)):
        raise ValueError(f"{text!r} is more than an origin: write {found}")
    return found
