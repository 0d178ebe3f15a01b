"""Web pages from elsewhere: which may call the service from a browser."""

import pytest
from pydantic import SecretStr, ValidationError
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from serving.auth import RequireKey
from serving.cors import allow_origins
from serving.settings import Settings

OURS = "https://pictures.example"
ANSWER = JSONResponse({}, headers={"Vary": "Accept", "X-Seed": "7"})


def client(*origins, keys=("one",), app=ANSWER):
    return TestClient(allow_origins(RequireKey(app, tuple(map(SecretStr, keys))), origins), raise_server_exceptions=False)


def preflight(client, origin, method="POST", headers="authorization,content-type,if-none-match"):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options("/generate", headers=asked)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_preflight_needs_no_key(method):
    answer = preflight(client(OURS), OURS, method)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == OURS
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type", "if-none-match"} <= allowed
    assert "access-control-allow-credentials" not in answer.headers


def test_a_preflight_from_elsewhere_is_told_no():
    answer = preflight(client(OURS), "https://other.example")
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


def test_a_listed_origin_may_reach_a_private_address():
    asked = {"Origin": OURS, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
    assert client(OURS).options("/generate", headers=asked).headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-private-network" not in client("*").options("/generate", headers=asked).headers


def test_answers_can_be_read_by_pages_of_the_origins_and_of_no_others():
    with_key = {"Authorization": "Bearer one"}
    answer = client(OURS).get("/generate", headers={"Origin": OURS, **with_key})
    assert answer.headers["access-control-allow-origin"] == OURS
    assert {name.strip() for name in answer.headers["vary"].split(",")} == {"Accept", "Origin"}
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"x-seed", "x-model", "server-timing", "etag", "retry-after", "content-disposition"} <= exposed
    for origin in ("https://other.example", "http://images.example", OURS + ":8443", "null"):
        assert "access-control-allow-origin" not in client(OURS).get("/generate", headers={"Origin": origin, **with_key}).headers
    assert "origin" in client(OURS).get("/generate", headers=with_key).headers["vary"].lower()  # for caches


def test_errors_can_be_read_too():
    async def failing(scope, receive, send):
        await JSONResponse({}, status_code=429, headers={"Retry-After": "1"})(scope, receive, send)

    refused = client(OURS).get("/generate", headers={"Origin": OURS})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == OURS
    full = client(OURS, app=failing).get("/generate", headers={"Origin": OURS, "Authorization": "Bearer one"})
    assert full.status_code == 429
    assert full.headers["access-control-allow-origin"] == OURS


def test_any_origin_can_be_let_in():
    assert preflight(client("*"), "https://anything.example").headers["access-control-allow-origin"] == "*"
    assert client("*").get("/", headers={"Origin": "null"}).headers["access-control-allow-origin"] == "*"


def test_without_the_setting_there_is_nothing_of_it():
    assert preflight(client(), OURS).status_code == 401
    assert not [name for name in client(keys=()).get("/", headers={"Origin": OURS}).headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example, https://b.example:8443", ("https://a.example", "https://b.example:8443")),
        (" https://a.example \n http://localhost:5173 ,", ("https://a.example", "http://localhost:5173")),
        ("HTTPS://A.Example/ http://b.example:80", ("https://a.example", "http://b.example")),  # as browsers write them
        ("https://bücher.example http://[::1]:3000", ("https://xn--bcher-kva.example", "http://[::1]:3000")),
        ("capacitor://localhost chrome-extension://abcdef", ("capacitor://localhost", "chrome-extension://abcdef")),
    ],
)
def test_origins_are_separated_by_commas_or_spaces(monkeypatch, given, origins):
    monkeypatch.setenv("GAN_CORS_ORIGINS", given)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pictures.example", "'pictures.example' has no scheme: write https://pictures.example"),
        ("localhost:5173", "'localhost:5173' has no scheme: write http"),
        ("https://a.example/app", "'https://a.example/app' is more than an origin: write https://a.example"),
        ("https://a.example?x=1", "is more than an origin: write https://a.example"),
        ("https://me:pass@a.example", "is more than an origin: write https://a.example"),
        ("https://*.a.example", "knows no patterns: name every origin, or write * for all"),
        ("https://", "is not an origin: write scheme://host or scheme://host:port"),
        ("https://a.example:port", "is not an origin: write scheme://host or scheme://host:port"),
        ("null", "write https"),
    ],
)
def test_what_is_no_origin_stops_the_start(monkeypatch, given, said):
    monkeypatch.setenv("GAN_CORS_ORIGINS", f"https://b.example {given}")
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert raised.value.errors()[0]["loc"] == ("cors_origins",)
    assert said in raised.value.errors()[0]["msg"]


def test_the_service_lets_in_the_origins_of_the_setting(monkeypatch):
    from service import GanService

    monkeypatch.setenv("GAN_CORS_ORIGINS", OURS)
    monkeypatch.setenv("GAN_API_KEYS", "one")
    served = TestClient(GanService.to_asgi())
    for path in ("/generate", "/bento/generate", "/metrics"):
        answer = served.options(path, headers={"Origin": OURS, "Access-Control-Request-Method": "POST"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, OURS)
        refused = served.post(path, headers={"Origin": OURS})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, OURS)
