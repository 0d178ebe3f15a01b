"""Keys: with any configured, everything but health needs one."""

import hmac
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import problem

HEALTH = frozenset({"/livez", "/readyz", "/healthz"})


class RequireKey:
    """Lets through what carries `Authorization: Bearer KEY` (RFC 6750) with one of the keys; all where there are none."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if not self._keys or scope["type"] == "lifespan" or scope["path"] in HEALTH or self._is_known(Headers(scope=scope)):
            await self._app(scope, receive, send)
        else:
            refusal = problem(
                HTTPStatus.UNAUTHORIZED,
                "a key is needed: send the header Authorization: Bearer KEY",
                [],
                {"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Every key is compared, each in constant time, so that the time taken tells nothing of how near a guess is.
        matches = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self._keys]
        return scheme.lower() == "bearer" and any(matches)
