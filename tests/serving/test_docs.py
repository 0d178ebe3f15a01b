"""docs/api.md says what the code says, and the pages load nothing from elsewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import anyio
import pytest

from serving.app import Api
from serving.metrics import metrics
from serving.schema import GenerateRequest, InterpolateRequest
from serving.settings import Settings

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
    collectors = vars(metrics()).values()
    rows = [f"| `{one._name}{'_total' if one._type == 'counter' else ''}` | {one._documentation} |" for one in collectors]
    listed = re.search(r"## Metrics.*?\|---\|---\|\n(.*)", TEXT, re.DOTALL)[1].splitlines()
    assert listed == rows


def test_every_route_and_field_is_named():
    for route in Api()._app.routes:
        assert f"{route.path}`" in TEXT, route.path
    for model in (GenerateRequest, InterpolateRequest):
        for name in model.model_fields:
            assert f"`{name}`" in TEXT, name


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_and_what_they_load_come_from_the_service(client, path):
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    assert "https://" not in page.text
    assert "http://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href|url)[=:] ?"([^":]+)"', page.text)
    assert loaded
    for address in loaded:
        assert client.get(f"/{address}").status_code == 200, address


def test_other_paths_of_bentomls_pages_are_not_there(client):
    assert client.get("/docs.json").status_code == 404


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
