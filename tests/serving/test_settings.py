"""Settings that would leave the service open, hung or deaf stop its start; misspelt ones are named."""

import pytest
from pydantic import ValidationError

from serving.settings import Settings, misspelt


@pytest.mark.parametrize("variable", ["GAN_API_KEYS", "GAN_ADMIN_KEYS"])
@pytest.mark.parametrize("keys", [",", " ", " , ,"])
def test_a_list_of_keys_without_a_key_does_not_open_the_service(monkeypatch, variable, keys):
    monkeypatch.setenv(variable, keys)
    with pytest.raises(ValidationError, match="holds no keys: separate keys by commas"):
        Settings()


@pytest.mark.parametrize("variable", ["GAN_DEADLINE", "GAN_KEEP_ALIVE", "GAN_DRAIN", "GAN_WATCH"])
@pytest.mark.parametrize("seconds", ["inf", "nan", "-1"])
def test_seconds_are_finite(monkeypatch, variable, seconds):
    monkeypatch.setenv(variable, seconds)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(("variable", "value"), [("GAN_DRAIN", "1e12"), ("GAN_WATCH", "1e12"), ("GAN_THREADS", "100000000")])
def test_what_would_overflow_or_hang_is_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match="less than or equal to"):
        Settings()


def test_misspelt_settings_are_recognised_and_strangers_are_not():
    names = ["GAN_THREDS", "gan_modles", "GANMODELS", "GAN_API_KEY", "GAN_THREADS", "gan_models", "PATH"]
    of_kubernetes = ["GAN_SERVICE_HOST", "GAN_SERVICE_PORT", "GAN_PORT", "GAN_PORT_3000_TCP_ADDR"]
    assert misspelt([*names, *of_kubernetes]) == {
        "GAN_THREDS": "GAN_THREADS",
        "gan_modles": "GAN_MODELS",
        "GANMODELS": "GAN_MODELS",
        "GAN_API_KEY": "GAN_API_KEYS",
    }
