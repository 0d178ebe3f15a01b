"""Stopping it, and running it by deploy/compose.yaml."""

import io
import os
import shutil
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.container.conftest import started

ROOT = Path(__file__).parents[2]


def test_on_stop_it_answers_all_that_it_has_let_in_and_exits_0(image):
    answers, lost = [], []
    stopping = threading.Event()

    def ask(container, first):
        """Post until the port is closed."""
        seed = first
        while True:
            late = stopping.is_set()
            try:
                answers.append(container.client.post("/generate", json={"seed": seed, "n": 64, "format": "zip"}))
            except httpx2.ConnectError:
                return  # nobody let it in
            except httpx2.TransportError as error:
                # A connection kept alive is closed with the port; a request that was under way then was not let in.
                if not late:
                    lost.append(error)
                return
            seed += 1

    with started(image) as container, ThreadPoolExecutor(9) as pool:
        asking = [pool.submit(ask, container, 1000 * k) for k in range(8)]
        while len(answers) < 20:
            time.sleep(0.01)
        stopping.set()
        begun = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - begun < 40
        for one in asking:
            one.result()
    assert lost == []
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 200:
            assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
        else:
            assert answer.headers["retry-after"] == "1"


def compose():
    """The compose command that works here."""
    for command in (["docker", "compose"], ["podman-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            if command[0] == "docker" and subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
                continue
            return command
    raise AssertionError("neither docker compose nor podman-compose is here: . deploy/engine.sh installs one")


def test_compose_runs_it_limited_and_with_a_key(image, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (keys / "api-keys").write_text("secret\n")
    environment = {
        **os.environ,
        "GAN_IMAGE": image.name,
        "GAN_PORT": "127.0.0.1:33000",
        "GAN_KEYS_FOLDER": str(keys),
        "GAN_MODELS_FOLDER": str(ROOT / "models"),
    }
    command = [*compose(), "--file", str(ROOT / "deploy" / "compose.yaml"), "--project-name", "gancompose"]
    try:
        subprocess.run([*command, "up", "--detach"], env=environment, check=True)
        with httpx2.Client(base_url="http://127.0.0.1:33000", timeout=60) as client:
            deadline = time.monotonic() + 60
            while True:
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx2.TransportError:
                    pass
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert client.get("/models").status_code == 401
            answer = client.post("/generate", json={"seed": 7}, headers={"Authorization": "Bearer secret"})
            assert answer.content.startswith(b"\x89PNG")
        name = image.engine_says("ps", "--filter", "name=gancompose", "--format", "{{.Names}}")
        limits = image.engine_says("inspect", name, "--format", "{{.HostConfig.Memory}} {{.HostConfig.ReadonlyRootfs}}")
        assert limits == f"{2**30} true"
    finally:
        subprocess.run([*command, "down"], env=environment, capture_output=True)
