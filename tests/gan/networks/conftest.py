import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    """Layers draw their weights, and tests their images, from torch's global generator."""
    torch.manual_seed(0)
