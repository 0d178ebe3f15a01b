"""The service's routes in this process, without what BentoML and its server put around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from serving.app import Api
from serving.batching import Batcher
from serving.models import Models
from serving.settings import Settings


def with_lifespan(app: ASGIApp) -> ASGIApp:
    """An application that a TestClient can start and stop, which BentoML does for the routes in the service."""
    return Starlette(routes=[Mount("/", app)])


@contextmanager
def routes(models: Path, **settings: Any) -> Iterator[Api]:
    """The routes, serving a folder of models."""
    chosen, batcher, api = Settings(models=models, **settings), Batcher(), Api()
    api.open(Models(chosen), batcher, chosen)
    yield api
    batcher.close()


@contextmanager
def serving(models: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of the routes, which has them as its `api`."""
    with routes(models, **settings) as api, TestClient(with_lifespan(api)) as client:
        client.api = api  # type: ignore[attr-defined]
        yield client
