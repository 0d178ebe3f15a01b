"""The figures for Prometheus: whose they are, and for how long."""

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, generate_latest

from serving.metrics import ModelsServed
from serving.metrics_folder import keep, own_folder
from tests.serving.test_reload import write
from tests.test_service import running


def told(client, metric):
    """The value of a metric without labels."""
    return float(re.search(rf"^{metric} (.*)$", client.get("/metrics").text, re.MULTILINE)[1])


def test_two_services_of_one_user_share_no_figures(trained, tmp_path):
    settings = {"GAN_MODELS": str(trained.models), "BENTOML_HOME": str(tmp_path)}
    with running(**settings) as first:
        first.post("/generate", json={"n": 3})
        with running(**settings) as second:
            second.post("/generate", json={"n": 5})
            assert told(first, "gan_batch_pictures_sum") == 3
            assert told(second, "gan_batch_pictures_sum") == 5
        first.post("/generate", json={"n": 4})
        assert told(first, "gan_batch_pictures_sum") == 7
        assert len(list((tmp_path / "gan-service-metrics").iterdir())) == 1
    assert list((tmp_path / "gan-service-metrics").iterdir()) == []


def test_old_versions_are_forgotten_and_the_queue_is_told(trained, tmp_path):
    models = tmp_path / "models"
    titles = [write(trained, models / "shoes", scale=1.0)]
    settings = {"GAN_MODELS": str(models), "BENTOML_HOME": str(tmp_path / "home"), "GAN_QUEUE": "100000", "GAN_WATCH": "0"}
    with running(**settings) as client, ThreadPoolExecutor(8) as pool:
        for scale in (2.0, 3.0):
            titles.append(write(trained, models / "shoes", scale))
            assert client.post("/models/shoes/reload").status_code == 200
        versions = re.findall(r"^gan_model_info\{.*version=\"(.*)\"\} 1.0$", client.get("/metrics").text, re.MULTILINE)
        assert [f"shoes@{version}" for version in versions] == titles[-1:]
        assert "gan_model_info{" in client.get("/metrics").text
        assert client.get("/metrics").text.count("# TYPE gan_model_info") == 1

        asked = [pool.submit(client.post, "/generate", json={"seed": k, "n": 256, "format": "npz"}) for k in range(40)]
        waited = 0.0
        while not waited and not all(answer.done() for answer in asked):
            waited = told(client, "gan_queue_pictures")
        assert waited > 0
        assert {answer.result().status_code for answer in asked} == {200}
        deadline = time.monotonic() + 20
        while told(client, "gan_queue_pictures"):
            assert time.monotonic() < deadline


def test_models_served_are_told_in_the_words_of_prometheus():
    served = ModelsServed()
    served.now = {("shoes", "abc", "onnx-cpu"), ("bags", "def", "onnx-cpu")}
    lines = text(served).splitlines()
    assert lines[2:] == [
        'gan_model_info{name="bags",runtime="onnx-cpu",version="def"} 1.0',
        'gan_model_info{name="shoes",runtime="onnx-cpu",version="abc"} 1.0',
    ]
    served.now = set()
    assert "{" not in text(served)


def text(collector):
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


HOLD = """
import sys
from pathlib import Path
from serving.metrics_folder import keep, own_folder
folder = own_folder(Path(sys.argv[1]))
keep(folder)
(folder / "counter_1.db").touch()
print(folder, flush=True)
sys.stdin.read()
"""


def holding(home):
    """A process that keeps a folder, and that folder's name."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, own_folder(home).parent / process.stdout.readline().strip()


def test_a_folder_goes_with_its_service_however_that_ends(tmp_path):
    ends, (killed, left), (lives, kept) = holding(tmp_path), holding(tmp_path), holding(tmp_path)
    assert len({ends[1], left, kept}) == 3
    ends[0].communicate("")
    assert not ends[1].exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.exists()
    folder = own_folder(tmp_path)
    keep(folder)
    assert folder.is_dir()
    assert not left.exists()
    assert (kept / "counter_1.db").exists()
    lives.communicate("")


def test_what_is_not_a_folder_of_a_service_is_left_alone(tmp_path):
    folder = own_folder(tmp_path / "home")
    folder.parent.mkdir(parents=True)
    (folder.parent / "note").write_text("mine")
    (folder.parent / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    keep(folder)
    assert (folder.parent / "note").read_text() == "mine"
    assert (tmp_path / "file").exists()
