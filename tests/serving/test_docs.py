"""docs/api.md says what the code says, and the pages load nothing from elsewhere."""

import re
from pathlib import Path

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
    assert client.get("/static_content/../service.py").status_code == 404
