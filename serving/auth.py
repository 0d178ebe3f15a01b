"""API keys: with any configured, everything but health and the pages needs one."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import page_files
from serving.errors import RequestError, problem

HEALTH = frozenset({"/livez", "/readyz", "/healthz"})
# Files that a browser loads before anybody can type a key. Nothing in them is secret.
SWAGGER_FILES = frozenset({"/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js"})
OPEN_PAGES = frozenset({"/", "/docs", "/openapi.json", *(f"/pages/{name}" for name in page_files.NAMES)}) | SWAGGER_FILES

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_FOR_ADMINS = "gan-service.for_admins"  # in a request's scope: the status that `require_admin` answers with


class RequireKey:
    """Lets requests through that have `Authorization: Bearer KEY` (RFC 6750) with one of the keys; all where there are none.

    An admin key opens every route. `require_admin` demands one; if no admin keys are set, it lets every caller through.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[SecretStr], admin_keys: Sequence[SecretStr] = ()) -> None:
        self._app = app
        self._keys, self._admin_keys = _as_sent(keys), _as_sent(admin_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan" or not (self._keys or self._admin_keys):
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).getlist("authorization")
        is_admin = _is_one_of(self._admin_keys, sent)
        is_known = _is_one_of(self._keys, sent) or is_admin
        if is_known or not self._keys or _is_open(scope):
            await self._app({**scope, _FOR_ADMINS: self._admin_status(is_admin, is_known)}, receive, send)
        else:
            twice = "the header Authorization came twice: send it once"
            detail = twice if len(sent) > 1 else "a key is needed: send the header Authorization: Bearer KEY"
            await problem(HTTPStatus.UNAUTHORIZED, detail, [], _CHALLENGE)(scope, receive, send)

    def _admin_status(self, is_admin: bool, is_known: bool) -> HTTPStatus:
        if is_admin or not self._admin_keys:
            return HTTPStatus.OK
        return HTTPStatus.FORBIDDEN if is_known else HTTPStatus.UNAUTHORIZED


def require_admin(scope: Scope) -> None:
    """Demand an admin key, if any are set. Raises RequestError, 401 without a key and 403 with another."""
    status = scope.get(_FOR_ADMINS, HTTPStatus.OK)
    if status != HTTPStatus.OK:
        raise RequestError(
            status,
            "only a key of GAN_ADMIN_KEYS may do this: send one in the header Authorization: Bearer KEY",
            headers=_CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None,
        )


def _is_open(scope: Scope) -> bool:
    return scope["path"] in HEALTH or (scope["path"] in OPEN_PAGES and scope.get("method") in ("GET", "HEAD"))


def _as_sent(keys: Sequence[SecretStr]) -> list[bytes]:
    """Each key as bytes of a header: programs send UTF-8, browsers and some libraries Latin-1, which differ beyond ASCII."""
    texts = [key.get_secret_value() for key in keys]
    in_latin_1 = [text.encode("latin-1") for text in texts if not text.isascii() and max(text) <= "\xff"]
    return [text.encode() for text in texts] + in_latin_1


def _is_one_of(keys: list[bytes], sent: list[str]) -> bool:
    """Whether the one header Authorization that was sent has one of the keys."""
    scheme, _, given = (sent[0] if len(sent) == 1 else "").partition(" ")
    # Every key is compared, each in constant time, so that the time taken does not show how near a guess is.
    matches = [hmac.compare_digest(given.strip(" \t").encode("latin-1"), key) for key in keys]
    return scheme.lower() == "bearer" and any(matches)
