"""docs/api.md says what the code says, and the pages load nothing from elsewhere."""

import re
from pathlib import Path
from urllib.parse import unquote, urljoin

import anyio
import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from serving import openapi_pictures
from serving.app import Api
from serving.auth import RequireKey
from serving.metrics import metrics
from serving.schema import GenerateRequest, InterpolateRequest
from serving.settings import Settings

PAGES = Path(__file__).parents[2] / "serving" / "pages"
TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def default(name, field):
    if field.is_required() or name == "models":
        return "`models`"
    return (
        "none" if field.default in (None, ()) else f"{field.default:g}" if isinstance(field.default, float) else f"{field.default}"
    )


def test_every_setting_is_listed_with_its_sentence():
    rows = [
        f"| `GAN_{name.upper()}` | {field.description} | {default(name, field)} |" for name, field in Settings.model_fields.items()
    ]
    listed = re.search(r"## Settings.*?\|---\|---\|---\|\n(.*?)\n\n", TEXT, re.DOTALL)[1].splitlines()
    assert listed == rows


def test_every_metric_is_listed_with_its_sentence():
    described = [metric for collector in vars(metrics()).values() for metric in collector.describe()]
    rows = [f"| `{one.name}{'_total' if one.type == 'counter' else ''}` | {one.documentation} |" for one in described]
    listed = re.search(r"## Metrics.*?\|---\|---\|\n(.*)", TEXT, re.DOTALL)[1].splitlines()
    assert listed == rows


def test_every_route_and_field_is_named():
    for route in Api()._routes:
        assert f"{route}`" in TEXT, route
    for model in (GenerateRequest, InterpolateRequest, *openapi_pictures.REQUESTS.values()):
        for name in model.model_fields:
            assert f"`{name}`" in TEXT, name


LOADED = r'(?:src|href|url)[=:] ?"(?!#)([^":]+)"'  # what a page loads, or links to


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_and_what_they_load_come_from_the_service(client, path):
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=", page.text)
    loaded = re.findall(LOADED, page.text)
    assert loaded
    for address in loaded:
        assert client.get(f"/{address.replace('&amp;', '&')}").status_code == 200, address


def test_the_files_of_the_pages_are_small_and_name_no_other_host(client):
    files = sorted(PAGES.iterdir())
    assert sum(len(file.read_text().splitlines()) for file in files) < 1500
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for file in files:
        answer = client.get(f"/pages/{file.name}")
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"].startswith(types[file.suffix])
        assert answer.headers["cache-control"] == "no-cache"
        again = client.get(f"/pages/{file.name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", answer.text), file
        for imported in re.findall(r' from "\./([^"]+)"', answer.text):
            assert (PAGES / imported).is_file(), imported
    for name in ("nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py"):
        assert client.get(f"/pages/{name}").status_code == 404


def test_other_paths_of_bentomls_pages_are_not_there(client):
    assert client.get("/docs.json").status_code == 404
    for path in ("..%2fservice.py", "%2e%2e/service.py", "..%2f..%2fapp.py", "marked.min.js"):
        assert client.get(f"/static_content/{path}").status_code == 404
    # What a caller makes up is no label of a metric, as every path is that BentoML answers.
    assert "marked.min.js" not in client.get("/metrics").text


PREFIX = "/images/gan"


@pytest.fixture
def behind_a_prefix(client):
    """The service with a key, behind a proxy that has it under PREFIX and takes that away, as nginx does."""
    service = RequireKey(client.app, [SecretStr("secret")])

    async def proxy(scope, receive, send):
        if scope["path"].startswith(f"{PREFIX}/"):
            path = scope["path"].removeprefix(PREFIX)
            await service({**scope, "path": path, "raw_path": path.encode()}, receive, send)
        else:
            await PlainTextResponse("not ours", 404)(scope, receive, send)

    return TestClient(proxy)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_behind_a_prefix_and_without_a_key_a_page_finds_what_it_needs(behind_a_prefix, path):
    page = behind_a_prefix.get(PREFIX + path)
    assert page.status_code == 200
    for address in re.findall(LOADED, page.text):
        there = behind_a_prefix.get(urljoin(f"{PREFIX}{path}", address))
        # What needs a key is there, and asks for it.
        assert there.status_code == (401 if address.startswith("generate") else 200), address


def test_behind_a_prefix_the_document_leads_to_the_routes(behind_a_prefix):
    where = f"{PREFIX}/openapi.json"
    document = behind_a_prefix.get(where).json()
    (server,) = document["servers"]
    base = urljoin(where, server["url"]).rstrip("/")  # OpenAPI: relative to the document
    assert base == PREFIX
    for path, methods in document["paths"].items():
        assert behind_a_prefix.request(next(iter(methods)), base + path.replace("{name}", "a")).status_code == 401


def test_pages_are_asked_for_anew_so_that_none_outlives_an_upgrade(behind_a_prefix):
    for path in ("/", "/docs", "/openapi.json", "/pages/app.js"):
        assert behind_a_prefix.get(PREFIX + path).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("up", ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "....//..", "%252e%252e"])
def test_no_file_beside_the_pages_is_served(client, up):
    """Asked for as it stands, since clients make /a/../b into /b before they send it."""
    for name in ("service.py", "app.py", "_bentoml_impl/server/app.py", "etc/passwd"):
        for depth in range(1, 8):
            target = f"/static_content/{'/'.join([up] * depth)}/{name}"
            assert raw_status(client.app, target) in (404, 405), target
    assert raw_status(client.app, "/static_content/swagger-ui.css") == 200


def raw_status(app, target):
    """The status that the application answers a path with that no client has touched; the server takes off one encoding."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    answers, sent = [], [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        return sent.pop() if sent else await anyio.sleep_forever()

    async def send(message):
        answers.append(message)

    anyio.run(app, scope, receive, send)
    return answers[0]["status"]
