"""The service as a process of its own, started as people start it."""

import asyncio
import hashlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from gan.latents import InputSpec, inputs_of_seeds
from serving.app import Api
from serving.batching import DeviceLostError
from serving.models import Models
from tests.services import serving

ROOT = Path(__file__).parents[1]


def serve(port, **environment):
    command = [sys.executable, "-m", "bentoml", "serve", "service:GanService", "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(**environment):
    """A client of a service that is ready; it must end well on SIGTERM."""
    environment = {"GAN_DRAIN": "0", **environment}
    port = free_port()
    process = serve(port, **environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 60
            while True:
                if process.poll() is not None:
                    # BentoML finds free ports for its supervisor, lets them go, and may find them taken a moment later.
                    log = process.stderr.read()
                    assert "ZMQError: Address already in use" in log, log
                    process = serve(port, **environment)
                assert time.monotonic() < deadline
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx2.TransportError:
                    pass
                time.sleep(0.1)
            client.process = process
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_the_same_seed_gives_the_same_bytes_in_another_process(trained, runtime):
    def answers(client):
        return [client.post("/generate", json={"seed": 7, "n": n}).content for n in (1, 16)]

    with serving(trained.models, runtime=runtime, device="cpu") as client:
        here = answers(client)
    with running(GAN_MODELS=str(trained.models), GAN_RUNTIME=runtime, GAN_DEVICE="cpu") as client:
        assert answers(client) == here
    assert all(content.startswith(b"\x89PNG") for content in here)


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


def test_it_starts_without_a_damaged_model_that_is_not_the_default(trained, tmp_path):
    shutil.copytree(trained.model, tmp_path / "shoes")
    (tmp_path / "hats").mkdir()
    (tmp_path / "hats" / "netG.pth").touch()
    with running(GAN_MODELS=str(tmp_path)) as client:
        (served,) = client.get("/models").json()["models"]
        assert served["name"] == "fashion-mnist-dcgan"
        assert 'gan_model_reloads_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_it_does_not_start_on_a_device_that_is_not_there_and_says_why(trained):
    said = refusal(GAN_MODELS=str(trained.models), GAN_DEVICE="cuda")
    assert said == "gan-service: GAN_DEVICE=cuda needs GAN_RUNTIME=torchscript: ONNX Runtime runs on the processor here"


def test_it_does_not_start_without_a_model_and_says_why(tmp_path):
    assert f"there is no model in {tmp_path}: train one" in refusal(GAN_MODELS=str(tmp_path))


def test_it_does_not_start_with_a_wrong_setting_and_says_why(trained):
    said = refusal(GAN_MODELS=str(trained.models), GAN_THREADS="none")
    assert said.startswith("gan-service: GAN_THREADS: Input should be a valid integer")


def test_it_does_not_start_for_web_pages_of_what_is_no_origin(trained):
    said = refusal(GAN_MODELS=str(trained.models), GAN_CORS_ORIGINS="pictures.example")
    assert said.startswith("gan-service: GAN_CORS_ORIGINS: 'pictures.example' has no scheme: write https://pictures.example")


def test_it_is_not_ready_before_the_first_image(trained, monkeypatch):
    import service

    instance = object.__new__(service.GanService.inner)
    readiness = []

    def load(*arguments):
        readiness.append(instance.__is_ready__())
        return Models(*arguments)

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
Models(Settings())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "training", "onnx", "torchvision"}))
"""
    environment = {**os.environ, "GAN_MODELS": str(trained.models)}
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_on_sigterm_it_turns_new_requests_away_and_answers_all_it_let_in(trained):
    with running(GAN_MODELS=str(trained.models), GAN_DRAIN="2", GAN_QUEUE="10000") as client, ThreadPoolExecutor(24) as pool:
        large = [pool.submit(client.post, "/generate", json={"seed": k, "n": 256, "format": "json"}) for k in range(20)]
        while not any(answer.done() for answer in large):
            time.sleep(0.001)
        client.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 1.5
        while client.get("/readyz").status_code == 200:
            assert time.monotonic() < deadline
        assert client.get("/readyz").status_code == 503
        refused = client.post("/generate", json={"seed": 1})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["connection"] == "close"
        assert refused.headers["content-type"] == "application/problem+json"
        answers = [answer.result() for answer in large]
    # Requests that came after the signal were turned away; none was lost.
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(len(answer.json()["images"]) == 256 for answer in answers if answer.status_code == 200)


def test_with_keys_everything_but_health_and_pages_needs_one(trained):
    with running(GAN_MODELS=str(trained.models), GAN_API_KEYS="secret") as client:
        for path in ("/models", "/metrics", "/generate?seed=1", "/schema.json", "/nothing"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code != 401
        for path in ("/livez", "/", "/docs", "/openapi.json", "/static_content/swagger-ui-bundle.js"):
            assert client.get(path).status_code == 200


def test_metrics_tell_what_happened_and_take_no_label_from_a_caller(trained):
    with running(GAN_MODELS=str(trained.models)) as client:
        client.post("/generate", json={"n": 20})
        client.post("/generate", json={"n": 0})
        client.get("/some-path-of-my-own")
        text = client.get("/metrics").text
    assert 'gan_request_seconds_count{route="/generate",status="200"} 1.0' in text
    assert 'gan_request_seconds_count{route="/generate",status="422"} 1.0' in text
    assert 'gan_request_seconds_count{route="none",status="404"} 1.0' in text
    assert "gan_batch_pictures_sum 20.0" in text
    assert "gan_queue_seconds_count 1.0" in text
    assert "gan_infer_seconds_count 2.0" in text
    assert "gan_encode_seconds_count 1.0" in text
    assert "gan_queue_pictures" in text
    assert 'gan_model_info{name="fashion-mnist-dcgan",runtime="onnx-cpu"' in text
    assert "some-path-of-my-own" not in text


def test_it_fetches_a_model_before_it_starts_and_refuses_another_than_was_meant(trained, tmp_path):
    digest = hashlib.sha256((trained.model / "model.json").read_bytes()).hexdigest()
    with running(GAN_MODELS=str(tmp_path / "models"), GAN_FETCH=f"file://{trained.model}#sha256={digest}") as client:
        assert client.get("/models").json()["default"] == "fashion-mnist-dcgan"
    said = refusal(GAN_MODELS=str(tmp_path / "others"), GAN_FETCH=f"file://{trained.model}#sha256={'0' * 64}")
    assert "model.json is not the file that is meant" in said


def test_drawing_reports_to_nobody(tmp_path):
    code = """
from pathlib import Path
from gan import model_folder, runtimes
from gan.latents import inputs_of_seeds
folder = model_folder.read(model_folder.discover(Path("models"))[0])
runtimes.generate_images(runtimes.load(folder, "onnx", threads=1), inputs_of_seeds([0], folder.manifest.input_spec))
"""
    quiet = {"ORT_DISABLE_TELEMETRY", "CI"}  # either would silence ONNX Runtime by itself
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**environment, **home}, check=True)
    assert list(tmp_path.iterdir()) == []  # where it keeps what it has to report


def half_a_request(client, length, body, path="/generate"):
    """A connection over which only a part of a request has come."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_callers_who_stall_do_not_hold_up_the_end(trained):
    settings = {"GAN_MODELS": str(trained.models), "GAN_DEADLINE": "5", "GAN_MAX_N": "10000"}
    with running(**settings) as client, half_a_request(client, 100, b'{"seed"'):
        asked = b'{"seed": 1, "n": 10000, "format": "npz"}'
        with half_a_request(client, len(asked), asked) as deaf:
            assert deaf.recv(12) == b"HTTP/1.1 200"  # and no more of 10 MB, which no buffer takes
            client.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert client.process.poll() is None
            assert client.process.wait(timeout=15) == 0


def test_a_body_that_does_not_come_is_given_up(trained):
    paths = ("/generate", "/bento/generate")
    with running(GAN_MODELS=str(trained.models), GAN_DEADLINE="1") as client, ExitStack() as stack:
        for connection in [stack.enter_context(half_a_request(client, 100, b'{"seed"', path)) for path in paths]:
            answer = b""
            while b"did not come within 1 s" not in answer:
                answer += (more := connection.recv(10_000))
                assert more
            assert answer.startswith(b"HTTP/1.1 408")


def test_bodies_are_bounded_over_all_requests_together(trained):
    headers = {"Content-Type": "application/json"}
    with running(GAN_MODELS=str(trained.models), GAN_MAX_BODY="100000") as client:
        with ExitStack() as stack:
            stalled = [stack.enter_context(half_a_request(client, 100_000, b" " * 99_999)) for _ in range(7)]
            # Four whole ones may be there. What is under 32 KiB of each does not count, which makes it five, in whatever order
            # their parts come.
            for _ in range(2):
                refused = select.select(stalled, [], [], 20)[0][0]
                answer = refused.recv(10_000).lower()
                assert answer.startswith(b"http/1.1 429")
                assert b"retry-after: 1" in answer
                stalled.remove(refused)
            assert select.select(stalled, [], [], 0)[0] == []
            # Small ones are let in.
            assert client.post("/generate", content=b" " * 30_000 + b'{"seed": 7}', headers=headers).status_code == 200
        # Those who leave make room.
        large = {"content": b" " * 90_000, "headers": headers}
        deadline = time.monotonic() + 20
        while client.post("/generate", **large).status_code == 429:
            assert time.monotonic() < deadline
        assert client.post("/generate", **large).status_code == 400


def answers_to(client, request, late=b""):
    """All the bytes that come back to a request, and to what is sent a little later, until the service ends the connection."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as connection:
        connection.sendall(request)
        if late:
            time.sleep(0.05)
            connection.sendall(late)
        answer = b""
        while more := connection.recv(100_000):
            answer += more
    return answer


# What Java's HttpClient, and with it Spring and Ktor, sends before every request, and `curl --http2`
JAVA = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"


def test_all_routes_heed_every_byte_of_a_request_and_idle_connections_end_when_told(trained):
    with running(GAN_MODELS=str(trained.models), GAN_KEEP_ALIVE="0.5") as client:
        for path, body in (
            ("/generate", b'{"seed": 7}'),
            ("/bento/generate", b'{"seed": 7}'),
            ("/interpolate", b'{"seeds": [1, 2], "frames": 3}'),
            ("/generate", b'{"n": "x"}'),
        ):
            json_body = {"Content-Type": "application/json"}
            expected = client.post(path, content=body, headers=json_body)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode() + JAVA
            for framed in (b"Content-Length: %d\r\n\r\n%b" % (len(body), body), b"Transfer-Encoding: chunked\r\n\r\n"):
                late = b"" if framed.endswith(body) else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                answer = answers_to(client, head + framed, late)
                assert answer.startswith(b"HTTP/1.1 %d " % expected.status_code)
                assert answer.endswith(expected.content)
                assert answer.count(b"HTTP/1.1 ") == 1

        hidden = b"POST /models/fashion-mnist-dcgan/reload HTTP/1.1\r\nHost: x\r\n\r\n"
        for path in (b"/generate", b"/livez", b"/metrics"):
            head = b"GET %b HTTP/1.1\r\nHost: x\r\n" % path + JAVA + b"Content-Length: %d\r\n\r\n" % len(hidden)
            answer = answers_to(client, head, hidden)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"GET takes no body" in answer
        assert b"the body of a POST" in answers_to(
            client, b"GET /generate?seeds=" + b"1," * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert 'gan_refused_requests_total{reason="cannot be read"} 4.0' in client.get("/metrics").text


def test_behind_another_server_it_does_not_start():
    import service

    instance = object.__new__(service.GanService.inner)
    with pytest.raises(RuntimeError, match="install the pinned BentoML"):
        asyncio.run(instance.drain_on_sigterm())


def test_a_stop_while_it_fetches_is_one(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/shoes#sha256={'0' * 64}"
        process = serve(3999, GAN_MODELS=str(tmp_path), GAN_FETCH=address)
        try:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 0, log


def test_a_service_that_has_lost_its_device_is_neither_ready_nor_alive(trained, monkeypatch):
    import service

    monkeypatch.setenv("GAN_MODELS", str(trained.models))
    monkeypatch.setattr(service, "api", Api())
    instance = service.GanService.inner()
    before = (instance.__is_ready__(), instance.__is_alive__())

    def panic(*_):
        raise SystemExit

    monkeypatch.setattr(instance._batcher._queue, "take_batch", panic)
    with pytest.raises(DeviceLostError):
        asyncio.run(instance._batcher.submit(None, inputs_of_seeds([0], InputSpec(100))))
    instance.close()
    assert before == (True, True)
    assert (instance.__is_ready__(), instance.__is_alive__()) == (False, False)


# Read by every process that is started with its folder in PYTHONPATH
LOSES_ITS_DEVICE = """
import gan.runtimes.onnx

class Panic(BaseException): ...

def start(self, rows, start=gan.runtimes.onnx.OnnxEngine.start):
    if (rows["z"] == 13).any():
        raise Panic("a library of another language gives up")
    return start(self, rows)

gan.runtimes.onnx.OnnxEngine.start = start
"""


def test_a_worker_that_has_lost_its_device_is_replaced(trained, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(LOSES_ITS_DEVICE)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with running(GAN_MODELS=str(trained.models), GAN_THREADS="1", PYTHONPATH=path) as client:
        lost = client.post("/generate", json={"noise": [[13] * 100]})
        assert lost.status_code == 503
        assert lost.headers["retry-after"] == "15"
        deadline = time.monotonic() + 60  # BentoML looks every 10 seconds
        while True:
            try:
                if client.post("/generate", json={"n": 1}).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get("/readyz").status_code == 200


def test_a_caller_who_does_not_read_is_cut_off(trained):
    asked = b'{"seed": 1, "n": 10000, "format": "npz"}'
    settings = {"GAN_MODELS": str(trained.models), "GAN_DEADLINE": "5", "GAN_MAX_N": "10000"}
    with running(**settings) as client, half_a_request(client, len(asked), asked) as deaf:
        assert deaf.recv(12) == b"HTTP/1.1 200"  # and no more of 10 MB, which no buffer takes
        broken = select.poll()
        broken.register(deaf, 0)
        # A port closed in the common way would first wait until all was read.
        assert broken.poll(20_000)
        assert client.post("/generate", json={"seed": 1}).status_code == 200
        assert 'gan_dropped_requests_total{reason="not read"} 1.0' in client.get("/metrics").text


def workers_of(process):
    """Process ids of the workers that serve."""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has ended by now, as the one that checks the models does
            if "_bentoml_impl.worker.service" in child.cmdline():
                found.append(child.pid)
    return found


def fresh(client, path, times=24):
    """Answers over connections of their own, which the system gives to one worker or another."""
    return [httpx2.get(f"{client.base_url}{path}".replace("//g", "/g"), timeout=60) for _ in range(times)]


def test_two_workers_give_the_same_bytes_count_together_and_both_take_new_models(trained, tmp_path):
    models = shutil.copytree(trained.models, tmp_path / "models")
    settings = {"GAN_WORKERS": "2", "GAN_WATCH": "0.1", "GAN_MODELS": str(models), "GAN_DEFAULT_MODEL": "fashion-mnist-dcgan"}
    with running(**settings) as client:
        deadline = time.monotonic() + 60
        while client.get("/metrics").text.count("gan_batch_pictures_count") < 1 or len(workers_of(client.process)) < 2:
            assert time.monotonic() < deadline
            fresh(client, "/generate?seed=7", 1)
        before = count_of(client, "gan_request_seconds_count")
        answers = fresh(client, "/generate?seed=7")
        assert len({(answer.status_code, answer.content, answer.headers["etag"]) for answer in answers}) == 1
        assert count_of(client, "gan_request_seconds_count") == before + len(answers)
        shutil.copytree(ROOT / "models" / "fashion-mnist", models / "fashion-mnist")
        while not all(answer.status_code == 200 for answer in fresh(client, "/generate?seed=7&model=fashion-mnist")):
            assert time.monotonic() < deadline


def count_of(client, name):
    values = re.findall(rf"^{name}(?:{{.*}})? (.*)$", client.get("/metrics").text, re.MULTILINE)
    return sum(map(float, values))


def test_in_a_container_the_death_of_one_worker_ends_the_service_with_status_1(trained):
    port = free_port()
    settings = {"GAN_WORKERS": "2", "GAN_MODELS": str(trained.models), "GAN_DRAIN": "0"}
    process = serve(port, **settings, BENTOML_CONTAINERIZED="true")
    try:
        deadline = time.monotonic() + 60
        while len(ready := [pid for pid in workers_of(process) if has_mark(pid)]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(ready[0], signal.SIGKILL)
        process.communicate(timeout=60)
    finally:
        process.terminate()
    assert process.returncode == 1
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"http://127.0.0.1:{port}/readyz")


def has_mark(pid):
    folders = (Path(os.environ.get("BENTOML_HOME", "~/bentoml")).expanduser() / "gan-service-metrics").glob("*")
    return any((folder / f"worker-{pid}.serving").exists() for folder in folders)
