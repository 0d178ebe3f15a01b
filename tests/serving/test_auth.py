import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from serving.auth import RequireKey
from serving.settings import Settings
from tests.serving.test_api import refused

OPEN = PlainTextResponse("come in")


def client(*keys):
    return TestClient(RequireKey(OPEN, keys))


def test_without_keys_all_come_in():
    assert client().get("/generate").text == "come in"


@pytest.mark.parametrize("authorization", ["Bearer one", "bearer two", "Bearer  one "])
def test_each_key_opens(authorization):
    assert client("one", "two").get("/generate", headers={"Authorization": authorization}).text == "come in"


@pytest.mark.parametrize("authorization", [None, "", "one", "Basic one", "Bearer", "Bearer three", "Bearer onetwo", "Bearer \xe9"])
def test_all_else_is_refused(authorization):
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for path in ("/generate", "/models", "/metrics", "/nothing"):
        response = client("one", "two").get(path, headers=headers)
        refused(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_health_needs_no_key(path):
    assert client("one").get(path).text == "come in"


def test_the_lifespan_passes():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(RequireKey(app, ("one",))({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_keys_come_from_the_environment_and_from_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_API_KEYS", "hush, two,")
    assert Settings().keys() == ("hush", "two")
    (tmp_path / "keys").write_text("three\n\n four\n")
    monkeypatch.setenv("GAN_API_KEYS_FILE", str(tmp_path / "keys"))
    assert Settings().keys() == ("hush", "two", "three", "four")
    assert "hush" not in repr(Settings())
    (tmp_path / "keys").write_text("\n")
    with pytest.raises(ValueError, match="holds no keys"):
        Settings().keys()
    monkeypatch.setenv("GAN_API_KEYS_FILE", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="there is no such file"):
        Settings()
