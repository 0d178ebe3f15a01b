"""Cross-origin requests: which web pages may call the service from a browser (CORS)."""

from collections.abc import Sequence

from pydantic import AnyUrl, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ANY = "*"
# Headers of an answer that a page's script may read, beside those that browsers always expose
_EXPOSED = ("X-Seed", "X-Model", "Server-Timing", "ETag", "Retry-After", "Content-Disposition", "X-Request-ID")
_USUAL_PORTS = {"http": 80, "https": 443}  # which browsers omit from the header Origin


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Wrap an application so that pages of these origins may call it; without origins, return it unchanged.

    It must be outside the check of keys: a browser's preflight has no key, and pages should be able to read refusals.
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


def allow_reading(headers: MutableHeaders, origins: Sequence[str], asking: str) -> None:
    """Add to an answer that comes from no application what `allow_origins` adds to those that do.

    `asking` is the request's header Origin. Where that is empty, since it had not come yet, only `*` lets pages read the answer.
    """
    if not origins:
        return
    if ANY in origins or asking in origins:
        headers["Access-Control-Allow-Origin"] = ANY if ANY in origins else asking
        headers["Access-Control-Expose-Headers"] = ", ".join(_EXPOSED)
    headers.add_vary_header("Origin")


def origin(text: str) -> str:
    """Normalise an origin as browsers write it: lower case, no default port, no slash at the end. Raises ValueError."""
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
    normalised = f"{url.scheme}://{url.host}{port}"
    if url.path not in (None, "", "/") or any(part is not None for part in (url.query, url.fragment, url.username, url.password)):
        raise ValueError(f"{text!r} is more than an origin: write {normalised}")
    return normalised
