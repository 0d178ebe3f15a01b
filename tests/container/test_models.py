"""Models that are not in the image."""

import hashlib
import os
import time

from gan import model_folder
from gan.manifest import MANIFEST
from tests.container.conftest import SHIPPED, another_version, started


def mounted(models):
    return ["--volume", f"{models}:/models:ro", "--env", "GAN_MODELS=/models"]


def refusal(image, *options):
    """What a container that must not start says."""
    with started(image, *options, wait=False) as container:
        deadline = time.monotonic() + 60
        while container.state()["Running"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert container.state()["ExitCode"] == 1
        log = container.log()
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if line.startswith("gan-service: ")]
    return line


def wait_until_served(container, before, version):
    """Until the default model is no longer the one named `before`, and then it must be of this version."""
    deadline = time.monotonic() + 60
    while (now := container.client.post("/generate", json={"seed": 1}).headers["x-model"]) == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert now.endswith(f"@{version}")


def test_a_mounted_folder_is_served_and_a_new_version_in_it_without_a_restart(image, models):
    with started(image, *mounted(models)) as container:
        before = container.client.post("/generate", json={"seed": 1}).headers["x-model"]
        assert before == model_folder.read(models / SHIPPED.name).title
        version = another_version(models)
        wait_until_served(container, before, version)


def test_a_damaged_model_stops_the_start_with_a_sentence(image, models):
    with (models / SHIPPED.name / model_folder.ONNX).open("r+b") as file:
        file.truncate(1000)
    said = refusal(image, *mounted(models))
    assert f"/models/{SHIPPED.name}/generator.onnx is damaged" in said
    assert said.endswith("copy the model folder again")


def test_a_half_written_model_stops_the_start_with_a_sentence(image, models):
    (models / SHIPPED.name / MANIFEST).unlink()
    assert f"cannot read /models/{SHIPPED.name}/model.json" in refusal(image, *mounted(models))


def test_a_model_that_its_user_may_not_read_stops_the_start_with_a_sentence(image, models):
    (models / SHIPPED.name).chmod(0o700)
    assert f"cannot read /models/{SHIPPED.name}" in refusal(image, *mounted(models))


def test_a_model_that_its_user_may_not_read_keeps_no_other_from_being_served(image, models):
    with started(image, *mounted(models)) as container:
        before = container.client.post("/generate", json={"seed": 1}).headers["x-model"]
        model_folder.copy(SHIPPED, models / "a-secret-one")
        (models / "a-secret-one").chmod(0o700)
        time.sleep(5)  # in which it is found, twice
        version = another_version(models)
        wait_until_served(container, before, version)
        assert "Traceback" not in container.log()


def test_a_stop_while_it_fetches_is_one(image, models):
    (models / "slow").mkdir()
    os.mkfifo(models / "slow" / MANIFEST)  # whoever opens it waits
    options = ["--volume", f"{models}:/shop:ro", "--env", "GAN_MODELS=/tmp/models"]
    with started(image, *options, "--env", f"GAN_FETCH=file:///shop/slow#sha256={'0' * 64}", wait=False) as container:
        deadline = time.monotonic() + 60
        while "open to all who reach it" not in container.log():  # said just before
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
        assert container.state()["Running"]
        begun = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - begun < 20


def test_a_model_is_fetched_at_the_start_if_it_has_the_digest(image, models):
    address = f"file:///shop/{SHIPPED.name}#sha256="
    digest = hashlib.sha256((models / SHIPPED.name / MANIFEST).read_bytes()).hexdigest()
    options = ["--volume", f"{models}:/shop:ro", "--env", "GAN_MODELS=/tmp/models"]
    with started(image, *options, "--env", f"GAN_FETCH={address}{digest}") as container:
        assert container.client.post("/generate", json={"seed": 1}).headers["x-model"] == model_folder.read(SHIPPED).title
    said = refusal(image, *options, "--env", f"GAN_FETCH={address}{'0' * 64}")
    assert f"file:///shop/{SHIPPED.name}/model.json is not the file that is meant" in said
    said = refusal(
        image, "--volume", f"{models}:/shop:ro", "--env", f"GAN_FETCH={address}{digest[:-1]}{'0' if digest[-1] != '0' else '1'}"
    )
    assert "is not the file that is meant" in said
