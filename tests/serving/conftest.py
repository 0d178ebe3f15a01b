"""The whole service in this process, with everything BentoML puts around it, serving the small trained model."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.conftest import Trained


@pytest.fixture(scope="session")
def client(trained: Trained) -> Iterator[TestClient]:
    """Talks HTTP to the service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_MODELS", str(trained.models))
        patch.setenv("GAN_MAX_BODY", "100000")
        from service import GanService

        # As a server would, it turns what a handler raises into an answer.
        with TestClient(GanService.to_asgi(), raise_server_exceptions=False) as client:
            yield client
