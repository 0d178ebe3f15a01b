"""What Prometheus and Grafana are given asks for metrics and labels that the service has. promtool reads it in tests/container."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import DROPPED, REFUSED, RELOADS
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
WATCH = ROOT / "deploy" / "watch"
OF_PROMETHEUS = {"up": {"job", "instance"}}


def rules():
    """Each alert."""
    return [rule for group in yaml.safe_load((WATCH / "rules.yml").read_text())["groups"] for rule in group["rules"]]


def panels():
    return json.loads((WATCH / "grafana" / "gan-service.json").read_text())["panels"]


def queries():
    """Every query, and the names of labels that its legend shows."""
    for rule in rules():
        yield rule["expr"], set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"]))


def asked(query):
    """The metrics of a query, each with its matchers (label, operator, value)."""
    words = re.sub(r"\b(by|without|on|ignoring) ?\([^)]*\)|\boffset\s+\w+", "", query)
    for name, matchers in re.findall(r"\b(gan_\w+|bentoml_\w+|up)\b(?:{([^}]*)})?", words):
        yield name, re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers)


def grouped(query):
    return {label.strip() for labels in re.findall(r"\bby ?\(([^)]*)\)", query) for label in labels.split(",")} - {"le"}


@pytest.fixture(scope="module")
def told(client):
    """Each metric of /metrics -> the values that each of its labels has."""
    for _ in range(2):
        assert client.get("/generate?seed=1").status_code == 200
    found = {name: dict.fromkeys(labels) for name, labels in OF_PROMETHEUS.items()}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(sample.name, {}).setdefault(label, set()).add(value)
            found.setdefault(sample.name, {})
    # Absent where nothing limits the memory, as on many machines that tests run on
    found.setdefault("gan_memory_limit_bytes", {})
    return found


def test_every_query_finds_its_metrics_and_labels(told):
    for query, shown in queries():
        used = list(asked(query))
        assert used, query
        for name, matchers in used:
            assert name in told, (name, query)
            for label, operator, value in matchers:
                values = told[name].get(label, set())
                assert label in told[name], (label, query)
                if values is not None and label in ("reason", "outcome"):
                    assert set(value.split("|")) <= values, (operator, value, query)
            assert shown | grouped(query) <= set(told[name]), query


def test_counters_are_there_before_they_count(told):
    assert told["gan_dropped_requests_total"]["reason"] == set(DROPPED)
    assert told["gan_refused_requests_total"]["reason"] == set(REFUSED)
    assert told["gan_model_reloads_total"]["outcome"] == set(RELOADS)


def test_every_reason_that_is_counted_is_one_of_those():
    source = "".join(path.read_text() for path in (ROOT / "serving").glob("*.py"))
    for counter, values in (("dropped", DROPPED), ("refused", REFUSED), ("reloads", RELOADS)):
        assert set(re.findall(rf'metrics\(\)\.{counter}\.labels\("([^"]+)"\)', source)) <= set(values)
    assert set(re.findall(r'_full\("([^"]+)"', source)) <= set(REFUSED)


def test_every_metric_of_the_service_is_shown(told):
    shown = {
        re.sub("_(bucket|count|sum)$", "", name)
        for panel in panels()
        for target in panel["targets"]
        for name, _ in asked(target["expr"])
    }
    ours = {re.sub("_(bucket|count|sum|created)$", "", name) for name in told if name.startswith("gan_")}
    assert shown - {"up"} == {name for name in ours if not name.endswith("_created")}


def test_the_parts_name_each_other():
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    ours, watch = services["gan-service"], {name: service for name, service in services.items() if "profiles" in service}
    assert {"gan-service", *watch} == set(services)
    assert {name: service["profiles"] for name, service in watch.items()} == {"prometheus": ["watch"], "grafana": ["watch"]}
    for service in watch.values():
        assert re.search(r":v?\d+\.\d+\.\d+}$", service["image"]), "a tag that moves"
        for volume in service["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / "deploy" / volume.split(":")[0]).is_file(), volume
    (job,) = yaml.safe_load((WATCH / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["gan-service:3000"]}]
    assert job["authorization"]["credentials_file"] == ours["environment"]["GAN_API_KEYS_FILE"]
    keys = next(volume for volume in ours["volumes"] if ":/run/keys" in volume)
    assert keys in watch["prometheus"]["volumes"]
    (source,) = yaml.safe_load((WATCH / "grafana" / "datasource.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_panels_do_not_overlap_and_say_what_they_show():
    taken = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["description"]


def test_what_an_alert_advises_is_there():
    for rule in rules():
        for name in re.findall(r"GAN_(\w+)", json.dumps(rule["annotations"])):
            assert name.lower() in Settings.model_fields, name
        for name in re.findall(r"\bGan[A-Z]\w+", rule["annotations"]["action"]):
            assert name in {other["alert"] for other in rules()}
