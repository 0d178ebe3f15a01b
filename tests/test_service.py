"""The service as a process of its own, started as people start it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from serving.app import Api
from serving.models import Models

ROOT = Path(__file__).parents[1]


def serve(port, **environment):
    command = [sys.executable, "-m", "bentoml", "serve", "service:GanService", "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(**environment):
    """A client of a service that is ready; it must end well on SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = serve(port, **environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx2.TransportError:
                    pass
                time.sleep(0.1)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_the_same_seed_gives_the_same_bytes_after_a_restart(trained, runtime):
    answers = []
    for _ in range(2):
        with running(GAN_MODELS=str(trained.models), GAN_RUNTIME=runtime, GAN_DEVICE="cpu") as client:
            answers.append([client.post("/generate", json={"seed": 7, "n": n}).content for n in (1, 16)])
    assert answers[0] == answers[1]
    assert all(content.startswith(b"\x89PNG") for content in answers[0])


def refusal(**environment):
    """What a service that must not start says."""
    process = serve(0, **environment)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("gan-service: ")]
    return line


def test_it_does_not_start_with_a_damaged_model_and_says_why(trained, tmp_path):
    model = shutil.copytree(trained.model, tmp_path / "shoes")
    with (model / "generator.onnx").open("r+b") as file:
        file.truncate(1000)
    said = refusal(GAN_MODELS=str(tmp_path))
    assert f"{model / 'generator.onnx'} is damaged" in said
    assert said.endswith("copy the model folder again")


def test_it_does_not_start_on_a_device_that_is_not_there_and_says_why(trained):
    said = refusal(GAN_MODELS=str(trained.models), GAN_DEVICE="cuda")
    assert said == "gan-service: GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here"


def test_it_does_not_start_without_a_model_and_says_why(tmp_path):
    assert f"there is no model in {tmp_path}: train one" in refusal(GAN_MODELS=str(tmp_path))


def test_it_does_not_start_with_a_wrong_setting_and_says_why(trained):
    said = refusal(GAN_MODELS=str(trained.models), GAN_THREADS="none")
    assert said.startswith("gan-service: GAN_THREADS: Input should be a valid integer")


def test_it_is_not_ready_before_the_first_picture(trained, monkeypatch):
    import service

    instance = object.__new__(service.GanService.inner)
    readiness = []

    def load(settings):
        readiness.append(instance.__is_ready__())
        return Models(settings)

    monkeypatch.setenv("GAN_MODELS", str(trained.models))
    monkeypatch.setattr(service, "Models", load)
    monkeypatch.setattr(service, "api", Api())
    instance.__init__()
    readiness.append(instance.__is_ready__())
    instance.close()
    assert readiness == [False, True]


def test_serving_loads_neither_torch_nor_training(trained):
    code = """
import os, sys
from service import GanService
from serving.models import Models
from serving.settings import Settings
import numpy as np
Models(Settings()).choose(None).runtime.draw(np.zeros((1, 100), np.float32))
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "training", "onnx", "torchvision"}))
"""
    environment = {**os.environ, "GAN_MODELS": str(trained.models)}
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
