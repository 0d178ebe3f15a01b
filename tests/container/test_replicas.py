"""Two containers behind one address, as docs/kubernetes.md runs them: nginx passes requests to both."""

import hashlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from gan import model_folder
from gan.manifest import MANIFEST
from tests.container.conftest import SHIPPED, Container, Image, another_version, started

# What docs/kubernetes.md and docs/deploy.md say of nginx
CONFIGURATION = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    log_format tries "$upstream_status";
    access_log {folder}/tries tries;
    client_max_body_size 16m;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/1; uwsgi_temp_path {folder}/2; scgi_temp_path {folder}/3;
    upstream replicas {{
        {servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_next_upstream error timeout http_503 non_idempotent;
        location / {{ proxy_pass http://replicas; }}
        location /gan/ {{ proxy_pass http://replicas/; }}
    }}
}}
"""


class Balancer:
    """nginx before some containers."""

    def __init__(self, folder: Path, replicas: list[Container]) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._write(replicas)
        program = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/bin:build/nginx/usr/sbin")
        assert program, "nginx is needed to test replicas: `. tests/container/engine.sh` unpacks it"
        self.process = subprocess.Popen(
            [program, "-c", self._folder / "nginx.conf", "-e", "stderr"], stderr=subprocess.PIPE, text=True
        )
        # A connection for each request: one that is kept may be closed by a reload just as it is used.
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self._port}", timeout=60, limits=httpx2.Limits(max_keepalive_connections=0)
        )

    def _write(self, replicas: list[Container]) -> None:
        servers = "\n        ".join(f"server {one.client.base_url.netloc.decode()};" for one in replicas)
        text = CONFIGURATION.format(folder=self._folder, servers=servers, port=self._port)
        (self._folder / "nginx.conf").write_text(text)

    def pass_to(self, replicas: list[Container]) -> None:
        """From now on, or a moment later, as it is with the endpoints of a Service."""
        self._write(replicas)
        self.process.send_signal(signal.SIGHUP)

    def tries(self) -> list[str]:
        """What the containers answered to each request, such as "503, 200" where the first of them was about to stop."""
        return (self._folder / "tries").read_text().splitlines()

    def served(self) -> str:
        """The model that one answer came from."""
        return self.client.post("/generate", json={"seed": 1}).headers["x-model"]


@contextmanager
def balanced(folder: Path, replicas: list[Container]) -> Iterator[Balancer]:
    balancer = Balancer(folder, replicas)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                balancer.client.get("/livez")
                break
            except httpx2.ConnectError:
                assert balancer.process.poll() is None, balancer.process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield balancer
    finally:
        balancer.process.terminate()
        balancer.process.communicate(timeout=30)


def test_two_replicas_behind_one_address_give_the_same_bytes_and_etags(image, tmp_path):
    with started(image) as one, started(image) as other, balanced(tmp_path, [one, other]) as balancer:
        for path in ("generate?seed=7", "generate?seed=7&n=16&format=webp", "generate?seed=7&n=3&format=zip"):
            direct = [container.client.get(f"/{path}") for container in (one, other)]
            through = [balancer.client.get(f"{prefix}/{path}") for prefix in ("", "/gan") for _ in range(4)]
            assert {answer.status_code for answer in direct + through} == {200}
            assert len({(answer.content, answer.headers["etag"]) for answer in direct + through}) == 1
            known = {"If-None-Match": direct[0].headers["etag"]}
            assert {balancer.client.get(f"/{path}", headers=known).status_code for _ in range(4)} == {304}
        images = {balancer.client.post("/generate", json={"seed": 7, "n": 16}).content for _ in range(4)}
        assert len(images) == 1


def fetched(shop: Path, name: str) -> list[str]:
    """Options of a container that fetches a model at its start."""
    digest = hashlib.sha256((shop / name / MANIFEST).read_bytes()).hexdigest()
    options = ["--volume", f"{shop}:/shop:ro", "--env", "GAN_MODELS=/tmp/models"]
    return [*options, "--env", f"GAN_FETCH=file:///shop/{name}#sha256={digest}"]


def roll(image: Image, held: ExitStack, balancer: Balancer, replicas: list[Container], options: list[str]) -> list[Container]:
    """What a Deployment does: start one more, and once it is ready end an old one, until all are new."""
    for old in list(replicas):
        replicas = [*replicas, held.enter_context(started(image, *options))]
        replicas.remove(old)
        balancer.pass_to(replicas)
        assert old.stop() == 0
    return replicas


def test_it_rolls_to_a_new_model_and_back_and_no_request_fails(image, models, tmp_path):
    shop = models
    before = model_folder.read(SHIPPED).title
    (shop / SHIPPED.name).rename(shop / "old")
    model_folder.copy(shop / "old", shop / SHIPPED.name)
    after = f"{SHIPPED.name}@{another_version(shop)}"
    (shop / SHIPPED.name).rename(shop / "new")
    (tmp_path / "nginx").mkdir()

    answers: list[tuple[int, str, str, bytes]] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            for answer in (
                balancer.client.get("/generate?seed=7"),
                balancer.client.post("/generate", json={"seed": 7}),
            ):
                headers = answer.headers
                answers.append((answer.status_code, headers.get("x-model", ""), headers.get("etag", ""), answer.content))

    with ExitStack() as held:
        replicas = [held.enter_context(started(image, *fetched(shop, "old"))) for _ in range(2)]
        balancer = held.enter_context(balanced(tmp_path / "nginx", replicas))
        pool = held.enter_context(ThreadPoolExecutor(2))
        held.callback(stopping.set)
        asking = [pool.submit(ask) for _ in range(2)]
        assert balancer.served() == before
        replicas = roll(image, held, balancer, replicas, fetched(shop, "new"))
        assert {balancer.served() for _ in range(4)} == {after}
        # Who insists on a version is told what there is
        assert balancer.client.get(f"/generate?seed=7&model={after}").status_code == 200
        gone = balancer.client.get(f"/generate?seed=7&model={before}")
        assert gone.status_code == 404
        assert after in gone.json()["detail"]
        replicas = roll(image, held, balancer, replicas, fetched(shop, "old"))
        assert {balancer.served() for _ in range(4)} == {before}
        # One ends that nginx has not been told of: for GAN_DRAIN seconds it says 503, which sends the request to the other
        assert replicas[0].stop() == 0
        stopping.set()
        for one in asking:
            one.result()
        assert "503, 200" in balancer.tries()

    statuses = Counter(status for status, *_ in answers)
    print(f"{statuses.total()} requests")
    assert statuses.keys() == {200}
    assert {model for _, model, _, _ in answers} == {before, after}
    # Each model has an ETag of its own, the same from every container
    assert len({(model, etag) for _, model, etag, _ in answers if etag}) == len({etag for _, _, etag, _ in answers if etag}) == 2
