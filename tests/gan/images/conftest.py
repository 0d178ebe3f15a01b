"""These tests decode by way of `training.data`, as a run does: every test has a cache of its own."""

from tests.training.data.conftest import cache as cache
