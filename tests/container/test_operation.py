"""Stopping it, and running it by deploy/compose.yaml."""

import io
import json
import os
import shutil
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.container.conftest import MEMORY, started

ROOT = Path(__file__).parents[2]


def test_on_stop_it_answers_all_that_it_has_let_in_and_exits_0(image):
    answers, lost = [], []
    stopping = threading.Event()  # is known: somebody was turned away

    def ask(container, first):
        """Post until the port is closed."""
        seed = first
        while True:
            late = stopping.is_set()
            try:
                answers.append(container.client.post("/generate", json={"seed": seed, "n": 64, "format": "zip"}))
                if answers[-1].status_code == 503:
                    stopping.set()
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


def compose(engine):
    """The engine's compose command."""
    for command in (["docker", "compose"], ["docker-compose"]) if engine == "docker" else (["podman-compose"],):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    raise AssertionError(f"{engine} is here without compose: install docker's compose plugin, or podman-compose")


def test_compose_runs_it_limited_and_with_a_key_and_changes_its_image(image, tmp_path):
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
    command = [*compose(image.engine), "--file", str(ROOT / "deploy" / "compose.yaml"), "--project-name", "gancompose"]
    other = f"{image.name}-other"
    image.engine_says("tag", image.name, other)

    def up():
        # By name, since podman-compose 1.0 starts what no profile asks for.
        subprocess.run([*command, "up", "--detach", "gan-service"], env=environment, check=True)
        name = image.engine_says("ps", "--filter", "name=gancompose", "--format", "{{.Names}}")
        return name, json.loads(image.engine_says("inspect", name))[0]

    try:
        name, container = up()
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
        limits = container["HostConfig"]
        assert (limits["Memory"], limits["NanoCpus"], limits["ReadonlyRootfs"]) == (MEMORY * 2**20, 2 * 10**9, True)
        assert any("no-new-privileges" in option for option in limits["SecurityOpt"])
        assert not container.get("EffectiveCaps")
        assert limits["CapAdd"] in (None, [])
        assert "ALL" in limits["CapDrop"] or len(limits["CapDrop"]) > 10  # which podman lists one by one

        # docs/deploy.md's way to another image
        environment["GAN_IMAGE"] = other
        subprocess.run([*command, "stop", "--timeout", "40"], env=environment, check=True)
        assert json.loads(image.engine_says("inspect", name, "--format", "{{json .State}}"))["ExitCode"] == 0
        subprocess.run([*command, "down", "--timeout", "40"], env=environment, check=True)
        assert up()[1]["Config"]["Image"].endswith(other)
    finally:
        subprocess.run([*command, "down", "--timeout", "40"], env=environment, capture_output=True)
        subprocess.run([image.engine, "network", "rm", "gancompose_default"], capture_output=True)  # which podman-compose leaves
        image.engine_says("rmi", other)
