"""The image, built once, and containers of it, run as hardened as docs/deploy.md says."""

import hashlib
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bentoml
import httpx2
import pytest

from deploy import image as images
from gan import model_folder
from gan.manifest import MANIFEST

ROOT = Path(__file__).parents[2]
SHIPPED = model_folder.discover(ROOT / "models")[0]
MEMORY = 1280  # MiB: what docs/deploy.md says is enough
HARDENED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--pids-limit", "256"]


@dataclass(frozen=True)
class Image:
    """What was built."""

    engine: str
    name: str
    bill: Path
    licences: Path

    def engine_says(self, *arguments: str) -> str:
        """The output of a command of the engine."""
        return subprocess.run([self.engine, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def inspect(self) -> dict[str, object]:
        """The image as the engine describes it."""
        return json.loads(self.engine_says("image", "inspect", self.name))[0]


class Container:
    """A container that was started, and a client of it."""

    def __init__(self, image: Image, name: str, started: float) -> None:
        self.image, self.name, self._started = image, name, started
        self.client = httpx2.Client(base_url=f"http://{image.engine_says('port', name, '3000/tcp').splitlines()[0]}", timeout=60)

    def wait_until_ready(self) -> float:
        """Seconds from the start of the container."""
        while time.monotonic() < self._started + 120:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return time.monotonic() - self._started
            except httpx2.TransportError:
                pass
            assert self.state()["Running"], self.log()
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log()}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command within the container."""
        return subprocess.run([self.image.engine, "exec", self.name, *command], capture_output=True, text=True)

    def python(self, code: str) -> str:
        """What a Python program prints there."""
        result = self.run("python", "-c", code)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def healthy(self) -> bool:
        """What the image's own health check says."""
        described = self.image.inspect()
        check = described.get("Healthcheck") or described["Config"]["Healthcheck"]  # podman, docker
        assert check["Test"][0] == "CMD"
        return self.run(*check["Test"][1:]).returncode == 0

    def state(self) -> dict[str, object]:
        """Running, ExitCode, OOMKilled …"""
        return json.loads(self.image.engine_says("inspect", self.name, "--format", "{{json .State}}"))

    def log(self) -> str:
        """All that it has written."""
        result = subprocess.run([self.image.engine, "logs", self.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return result.stdout

    def peak_memory(self) -> float:
        """MiB that all of it has ever held at once, page cache included."""
        for file in ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"):
            result = self.run("cat", file)
            if result.returncode == 0:
                return int(result.stdout) / 2**20
        raise AssertionError("this kernel does not tell")

    def stop(self) -> int:
        """Send SIGTERM, and wait for as long as docs/deploy.md gives it; returns the exit status."""
        self.image.engine_says("stop", "--time", "40", self.name)
        return self.state()["ExitCode"]


@contextmanager
def started(image: Image, *options: str, cpus: str = "2", wait: bool = True) -> Iterator[Container]:
    """A hardened container, ready unless it is not waited for; removed afterwards."""
    name = f"gan-test-{uuid.uuid4().hex[:8]}"
    limits = ["--memory", f"{MEMORY}m", "--memory-swap", f"{MEMORY}m", "--cpus", cpus]
    begun = time.monotonic()
    image.engine_says("run", "--detach", "--name", name, "--publish", "127.0.0.1::3000", *HARDENED, *limits, *options, image.name)
    try:
        container = Container(image, name, begun)
        if wait:
            container.wait_until_ready()
        yield container
    finally:
        for command in ("kill", "rm"):
            subprocess.run([image.engine, command, name], capture_output=True)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built anew from this working tree; removed afterwards, but for the base."""
    engine = images.find_engine()
    tag = subprocess.check_output([ROOT / "deploy" / "bento.sh", "cpu"], text=True).strip()
    bento = bentoml.get(tag)
    if engine == "podman":  # docker pulls it
        subprocess.run([ROOT / "tests" / "container" / "base.sh", bento.info.image.base_image], check=True)
    name = f"{tag}-test"
    try:
        images.build(bento, engine, name)
        yield Image(engine, name, *images.take_stock(name, bento, engine, tmp_path_factory.mktemp("stock")))
    finally:
        subprocess.run([engine, "rmi", "--force", name, images.intermediate(name)], capture_output=True)
        prune = ["image", "prune", "--force", "--filter", "label=org.opencontainers.image.title=gan-service"]
        subprocess.run([engine, *prune], capture_output=True)
        bentoml.delete(tag)


@pytest.fixture(scope="session")
def hardened(image: Image) -> Iterator[Container]:
    """One container for all the tests that only look at it or ask it for images."""
    with started(image) as container:
        yield container


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models that the container's user can read, with one model."""
    folder = tmp_path / "models"
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    model_folder.copy(SHIPPED, folder / SHIPPED.name)
    folder.chmod(0o755)
    return folder


def another_version(models: Path) -> str:
    """Put a model folder that differs in its weights, and so in its version, in the place of the one there is; returns it."""
    there, new = models / SHIPPED.name, models.parent / "new"
    shutil.copytree(there, new)
    with (new / model_folder.WEIGHTS).open("ab") as file:
        file.write(b" ")
    manifest = json.loads((new / MANIFEST).read_text())
    digest = hashlib.sha256((new / model_folder.WEIGHTS).read_bytes()).hexdigest()
    manifest["version"] = digest[:12]
    manifest["files"][model_folder.WEIGHTS] = digest
    (new / MANIFEST).write_text(json.dumps(manifest))
    model_folder.copy(new, there, replace=True)
    return digest[:12]
