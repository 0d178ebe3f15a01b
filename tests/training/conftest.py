import pytest

from training.cli.console import log_lines


@pytest.fixture
def lines():
    """What training logs is written to standard output and error, as by the commands."""
    with log_lines():
        yield
