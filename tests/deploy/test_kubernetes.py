"""deploy/kubernetes: valid for Kubernetes, and true of the service and its image. No cluster is needed."""

import copy
import math
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from deploy.image import MEMORY, newest
from serving.auth import HEALTH
from serving.metrics import metrics
from serving.settings import Settings
from tests.deploy import kustomize

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()
KINDS = ["cpu", "gpu", "openvino"]
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
OPERATOR = "monitoring.coreos.com/v1"  # whose kinds are none of Kubernetes' own
QUEUE = "gan_queue_pictures"


def examples():
    """The guide's pieces of YAML."""
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", GUIDE, re.MULTILINE)
    return [
        re.sub("^    ", "", block, flags=re.MULTILINE).strip("\n") + "\n" for block in blocks if re.match(r"\n*    \w+:\n", block)
    ]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder such as the guide tells people to write, beside their clone."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "gan-service").symlink_to(ROOT)
    (folder / "shoes").mkdir()
    (text,) = (text for text in examples() if "components:" in text)
    (folder / "shoes" / "kustomization.yaml").write_text(text)
    return folder / "shoes"


@pytest.fixture(params=[*KINDS, "own"], scope="module")
def folder(request, own):
    return own if request.param == "own" else FOLDER / "overlays" / request.param


@pytest.fixture(scope="module")
def objects(folder):
    return {one["kind"]: one for one in kustomize.rendered(folder)}


def pod(objects):
    return objects["Deployment"]["spec"]["template"]["spec"]


def container(objects):
    (one,) = pod(objects)["containers"]
    return one


def environment(objects):
    return {one["name"]: one.get("value") for one in container(objects)["env"]}


@pytest.mark.skipif(kustomize.KUBECTL is None, reason="no kubectl here: only our own rendering of deploy/kubernetes is tested")
def test_kubectl_renders_the_same(folder):
    assert kustomize.rendered(folder) == kustomize.rendered_by_kubectl(folder)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(objects, version):
    for one in objects.values():
        if one["apiVersion"] != OPERATOR:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_noticed(objects):
    wrong = copy.deepcopy(objects["Deployment"])
    container({"Deployment": wrong})["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_its_parts_find_each_other(objects):
    deployment, spec = objects["Deployment"], pod(objects)
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    (port,) = container(objects)["ports"]
    for chosen in (
        deployment["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in spec["topologySpreadConstraints"]),
    ):
        assert chosen
        assert chosen.items() <= labels
    assert objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]  # which each apply would set back
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert (
        [one["port"] for one in rule["ports"]]
        == [port["name"]]
        == [one["targetPort"] for one in objects["Service"]["spec"]["ports"]]
    )
    assert {one["name"] for one in container(objects)["volumeMounts"]} == {one["name"] for one in spec["volumes"]}


def test_the_image_is_run_as_it_was_made(objects):
    recipe = (ROOT / "deploy" / "Containerfile").read_text()
    user, group = re.search(r"^USER (\d+):(\d+)$", recipe, re.MULTILINE).groups()
    rights = pod(objects)["securityContext"]
    assert (rights["runAsUser"], rights["runAsGroup"], rights["fsGroup"]) == (int(user), int(group), int(group))
    assert [str(one["containerPort"]) for one in container(objects)["ports"]] == re.findall(r"^EXPOSE (\d+)$", recipe, re.MULTILINE)
    assert not {"command", "args"} & container(objects).keys()
    # As hardened as docs/deploy.md says
    assert rights["runAsNonRoot"] is True
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_each_overlay_runs_its_image_with_its_memory(kind):
    one = container({each["kind"]: each for each in kustomize.rendered(FOLDER / "overlays" / kind)})
    assert one["image"] == newest("gan-service", kind)
    mebibytes = int(MEMORY[kind].removesuffix("m")) if MEMORY[kind].endswith("m") else 1024 * int(MEMORY[kind].removesuffix("g"))
    for memory in (one["resources"]["limits"]["memory"], one["resources"]["requests"]["memory"]):
        assert int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]] == mebibytes
    assert ("nvidia.com/gpu" in one["resources"]["limits"]) is (kind == "gpu")


def test_every_variable_is_a_setting_with_a_value_that_the_service_takes(objects, monkeypatch, tmp_path):
    (tmp_path / "keys").write_text("secret\n")
    for name, value in environment(objects).items():
        assert name.removeprefix("GAN_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, "a-key" if value is None else str(tmp_path / "keys") if name.endswith("_FILE") else value)
    settings = Settings()
    assert settings.keys()
    assert settings.workers == 1  # more would want more processors than it asks for


def test_what_it_writes_and_reads_is_mounted(objects):
    mounts = {Path(one["mountPath"]): one for one in container(objects)["volumeMounts"]}
    sources = {one["name"]: one for one in pod(objects)["volumes"]}
    (home,) = (
        one["value"] for one in yaml.safe_load((ROOT / "bentofile.yaml").read_text())["envs"] if one["name"] == "BENTOML_HOME"
    )
    keys = Path(environment(objects)["GAN_API_KEYS_FILE"])
    models = Path(environment(objects).get("GAN_MODELS", "/models"))
    for folder in (Path(home).parent, models):
        assert "emptyDir" in sources[mounts[folder]["name"]]
    secret = sources[mounts[keys.parent]["name"]]["secret"]
    assert secret["defaultMode"] == 0o440
    assert f"secret generic {secret['secretName']} --from-file={keys.name}=" in GUIDE


def test_the_probes_ask_for_routes_that_need_no_key(objects):
    (port,) = container(objects)["ports"]
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container(objects)[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert path in HEALTH


def test_a_rollout_waits_as_long_as_a_pod_may_take_to_start(objects):
    probe = container(objects)["startupProbe"]
    longest = probe["periodSeconds"] * probe["failureThreshold"]
    assert longest == 600  # as the guide says
    assert objects["Deployment"]["spec"]["progressDeadlineSeconds"] > longest


def test_it_is_given_the_time_that_it_takes_to_stop(objects, monkeypatch):
    for name in ("GAN_DRAIN", "GAN_DEADLINE"):
        if name in environment(objects):
            monkeypatch.setenv(name, environment(objects)[name])
    settings = Settings(api_keys_file=None)
    program, before = container(objects)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    readers = math.ceil(settings.deadline) + 1  # service.py gives these to clients that do not read
    assert float(before) + settings.drain + readers + 5 <= pod(objects)["terminationGracePeriodSeconds"]


def test_the_components_scale_by_a_metric_that_there_is_and_scrape_it_with_a_key(own):
    objects = {one["kind"]: one for one in kustomize.rendered(own)}
    (scale,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert scale["pods"]["metric"]["name"] == QUEUE == next(iter(metrics().queued_images.describe())).name
    (rule,) = (yaml.safe_load(text) for text in examples() if text.startswith("rules:"))
    assert rule["rules"][0]["name"]["as"] == QUEUE
    assert rule["rules"][0]["seriesQuery"].startswith(QUEUE)

    # The required fields of a ServiceMonitor, of its endpoints and of what they send
    monitor, service = objects["ServiceMonitor"], objects["Service"]
    assert monitor["apiVersion"] == OPERATOR
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in [one["name"] for one in service["spec"]["ports"]]
    assert endpoint["authorization"]["type"] == "Bearer"
    (key,) = (one["valueFrom"]["secretKeyRef"] for one in container(objects)["env"] if one["name"] == "GAN_API_KEYS")
    assert endpoint["authorization"]["credentials"] == key
    assert f"--from-literal={key['key']}=" in GUIDE


def test_the_guides_own_folder_is_the_base_with_its_image_and_model(own):
    one = {each["kind"]: each for each in kustomize.rendered(own)}
    assert re.fullmatch(r"\S+/gan-service:\S+", container(one)["image"])
    assert re.fullmatch(r"https://\S+#sha256=[0-9a-f]{64}", environment(one)["GAN_FETCH"])
    assert environment(one)["GAN_MODELS"] == "/models"
