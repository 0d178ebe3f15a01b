"""The alerts of deploy/watch fire when they should: no container is needed, but promtool, from tests/container/promtool.sh."""

import json
import subprocess
from pathlib import Path

import pytest

WATCH = Path(__file__).parents[2] / "deploy" / "watch"


def promtool(*arguments, **options):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, **options)


def test_alerts_fire_when_they_should():
    result = promtool("test", "rules", WATCH / "rules-test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_configuration_is_one():
    result = promtool("check", "config", "--syntax-only", WATCH / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboards_queries_are_queries(tmp_path):
    panels = json.loads((WATCH / "grafana" / "gan-service.json").read_text())["panels"]
    expressions = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
    assert len(expressions) > 15
    rules = [{"record": f"panel:{place}", "expr": expression} for place, expression in enumerate(expressions)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    result = promtool("check", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("before", "after"), [("> 0.9", "> 0.99"), ("up{job", "down{job"), (" == 0", " == 1")])
def test_a_rule_that_is_wrong_is_found(tmp_path, before, after):
    (tmp_path / "rules.yml").write_text((WATCH / "rules.yml").read_text().replace(before, after))
    (tmp_path / "rules-test.yml").write_text((WATCH / "rules-test.yml").read_text())
    assert promtool("test", "rules", tmp_path / "rules-test.yml").returncode != 0
