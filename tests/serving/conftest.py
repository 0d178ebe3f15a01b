"""The service in this process, serving the small trained model or models that a test changes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.app import Api
from tests.conftest import Trained
from tests.services import routes, with_lifespan


@pytest.fixture(scope="session")
def client(trained: Trained) -> Iterator[TestClient]:
    """A client of the whole service, with everything BentoML puts around it, serving the small trained model."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # until it has started: it lives on beside tests that start others
            patch.setenv("GAN_MODELS", str(trained.models))
            patch.setenv("GAN_MAX_BODY", "100000")
            from service import GanService

            # As a server would, it turns what a handler raises into an answer.
            client = stack.enter_context(TestClient(GanService.to_asgi(), raise_server_exceptions=False))
        yield client


@pytest.fixture
def reload_api(models: Path) -> Iterator[Api]:
    """The routes alone, serving the folder of models that the test module's fixture `models` makes and its tests change."""
    with routes(models) as api:
        yield api


@pytest.fixture
def reload_client(reload_api: Api) -> Iterator[TestClient]:
    """A client of these routes."""
    with TestClient(with_lifespan(reload_api), raise_server_exceptions=False) as client:
        yield client
