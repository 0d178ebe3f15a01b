"""The access log has a line for every request, however it ends, and nothing secret; without it nothing is in the way."""

import json
import queue
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from serving import access_log
from serving.access_log import AccessLog, AccessLogError, line
from serving.auth import RequireKey
from serving.cors import allow_origins
from serving.observing import Observer, observer_for
from serving.request_record import RequestRecord
from serving.settings import Settings
from tests.services import routes, with_lifespan
from tests.serving.test_http import CHUNKED, HOST, POST, opened
from tests.test_service import running

MADE = re.compile("[0-9a-f]{32}")
FIELDS = ["time", "id", "method", "path", "status", "seconds", "bytes", "model", "images", "queue_seconds"]


class Kept:
    """The records that come, in their order."""

    def __init__(self):
        self._came = queue.Queue()
        self.observer = Observer([self._came.put])

    def next(self):
        return line(self._came.get(timeout=20))

    def nothing_more(self):
        return self._came.empty()


@pytest.fixture
def kept():
    return Kept()


@contextmanager
def service(trained, kept, **settings):
    """The routes with keys around them, as service.py puts them together."""
    with routes(trained.models, **settings) as api:
        app = allow_origins(RequireKey(with_lifespan(api), (SecretStr("secret-of-mine"),)), ("https://a.example",))
        with TestClient(kept.observer.observe(app), raise_server_exceptions=False) as client:
            client.headers["Authorization"] = "Bearer secret-of-mine"
            client.api = api
            yield client


@pytest.fixture(scope="module")
def asked(trained):
    kept = Kept()
    with service(trained, kept) as client:
        client.kept = kept
        yield client


def test_a_line_has_what_was_drawn_and_how_long_that_took(asked):
    answer = asked.post("/generate", json={"seed": 1, "n": 3}, headers={"X-Request-ID": "order-7/b"})
    found = asked.kept.next()
    assert list(found) == FIELDS
    assert answer.headers["x-request-id"] == found["id"] == "order-7/b"
    assert (found["method"], found["path"], found["status"], found["images"]) == ("POST", "/generate", 200, 3)
    assert found["bytes"] == len(answer.content)
    assert found["model"] == answer.headers["x-model"]
    assert 0 < found["queue_seconds"] < found["seconds"] < 20
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


def test_nothing_secret_gets_into_it(asked):
    for ask in (
        lambda: asked.get("/generate?noise=0.123456,0.5&model=secret-of-mine&seed=9876"),
        lambda: asked.post("/generate", json={"noise": [[0.123456] * 4], "seed": 9876}),
        lambda: asked.get("/generate?seed=9876", headers={"Authorization": "Bearer another-secret"}),
    ):
        assert ask().status_code in (401, 404, 422)
        found = json.dumps(asked.kept.next())
        for secret in ("123456", "secret", "9876", "?"):
            assert secret not in found


@pytest.mark.parametrize(
    ("ask", "status", "more"),
    [
        (lambda client: client.get("/models", headers={"Authorization": ""}), 401, {}),
        (lambda client: client.get("/nowhere"), 404, {"path": "/nowhere"}),
        (lambda client: client.get(f"/{'long' * 1000}"), 404, {"path": f"/{'long' * 1000}"[:256]}),
        (lambda client: client.delete("/generate"), 405, {"method": "DELETE"}),
        (lambda client: client.post("/generate", json={"n": 0}), 422, {"model": None, "images": None}),
        (lambda client: client.post("/generate", content=b"{", headers={"Content-Type": "application/json"}), 400, {}),
    ],
)
def test_refusals_are_lines_too_and_carry_the_id(asked, ask, status, more):
    answer = ask(asked)
    found = asked.kept.next()
    assert answer.status_code == found["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == found["id"]
    assert MADE.fullmatch(found["id"])
    assert found["queue_seconds"] is None
    assert more.items() <= found.items()


def test_a_cached_answer_names_its_model_and_no_images(asked):
    etag = asked.get("/generate?seed=1").headers["etag"]
    asked.kept.next()
    assert asked.get("/generate?seed=1", headers={"If-None-Match": etag}).status_code == 304
    found = asked.kept.next()
    assert (found["status"], found["bytes"], found["images"]) == (304, 0, 0)
    assert found["model"]


def test_preflights_are_lines_and_pages_of_other_origins_can_read_the_id(asked):
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert asked.options("/generate", headers=preflight).status_code == 200
    assert asked.kept.next()["method"] == "OPTIONS"
    exposed = asked.get("/models", headers={"Origin": "https://a.example"}).headers["access-control-expose-headers"]
    assert "X-Request-ID" in exposed
    asked.kept.next()


def test_a_fault_of_ours_is_a_line(asked, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(asked.api._models, "get", fail)
    answer = asked.get("/generate?seed=1")
    found = asked.kept.next()
    assert answer.status_code == found["status"] == 500
    assert answer.json()["request_id"] == found["id"]


def test_what_is_given_up_or_not_let_in_names_its_model(trained, kept):
    with service(trained, kept, deadline=1e-6) as client:
        assert client.post("/generate", json={"n": 2}).status_code == 504
        found = kept.next()
        assert (found["status"], found["images"]) == (504, 2)
        client.api.drain()
        assert client.post("/generate", json={"n": 2}).status_code == 503
        found = kept.next()
        assert (found["status"], found["images"]) == (503, 2)
        assert found["model"]


@pytest.mark.parametrize(
    "sent",
    [["with space"], [""], ["a" * 129], ['quote"'], ["one", "two"], ["ümlaut"], ["new\x7fline"]],
)
def test_an_id_that_is_not_well_formed_is_replaced(sent):
    record = RequestRecord.begin("GET", "/", [(b"x-request-id", one.encode("latin-1")) for one in sent])
    assert MADE.fullmatch(record.id)


@pytest.fixture
def door(kept):
    with opened(kept.observer) as door:
        yield door


@pytest.mark.parametrize(
    ("sent", "status", "path"),
    [
        (b"GET /p?key=hidden HTTP/1.1\r\nHost: x\r\nHost: y\r\nX-Request-ID: mine\r\n\r\n", 400, "/p"),
        (
            b"POST /p HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "/p",
        ),
        (b"GET /p HTTP/2.0\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n", 505, "/p"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, None),
    ],
)
def test_what_cannot_be_read_is_one_line(door, kept, sent, status, path):
    ((answered, headers, problem),) = door.talk(sent, last=b"")
    found = kept.next()
    assert answered == found["status"] == status
    assert (found["path"], found["method"]) == (path, None if path is None else sent.split()[0].decode())
    assert headers["x-request-id"] == problem["request_id"] == found["id"]
    assert path is None or found["id"] == "mine"
    assert found["bytes"] == int(headers["content-length"])
    assert "hidden" not in json.dumps(found)
    assert kept.nothing_more()


def test_a_body_that_cannot_be_read_is_one_line_with_the_status_that_was_sent(door, kept):
    ((status, headers, problem),) = door.talk(CHUNKED, b"no size\r\n", last=b"")
    found = kept.next()
    assert status == found["status"] == 400
    assert headers["x-request-id"] == problem["request_id"] == found["id"]
    time.sleep(0.05)
    assert kept.nothing_more()


def test_a_body_that_does_not_come_is_a_line(kept):
    with opened(kept.observer, deadline=0.2) as door, door.connect() as connection:
        connection.sendall(POST + b"Content-Length: 5\r\n\r\nhe")
        assert b" 408 " in connection.recv(100)
        assert kept.next()["status"] == 408


@pytest.mark.parametrize("path", [b"/work", b"/listen"])
def test_callers_who_leave_are_lines_and_so_are_their_other_requests(door, kept, path):
    with door.connect() as connection:
        request = b"GET %b HTTP/1.1\r\n" % path + HOST
        connection.sendall(request + b"\r\n" + b"GET /second HTTP/1.1\r\n" + HOST + b"\r\n")
        while f"GET {path.decode()}" not in door.echo.seen:
            time.sleep(0.001)
    lines = sorted((kept.next() for _ in range(2)), key=lambda found: found["path"])
    assert {found["path"]: found["status"] for found in lines} == {path.decode(): 499, "/second": 499}


def test_a_whole_answer_is_not_taken_for_one_whose_caller_left(door, kept):
    ((status, headers, _),) = door.talk(last=b"GET /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    found = kept.next()
    assert status == found["status"] == 200
    assert headers["x-request-id"] == found["id"]
    assert found["bytes"] == int(headers["content-length"])


def test_without_the_setting_nothing_is_wrapped(client):
    answer = client.get("/nowhere", headers={"X-Request-ID": "mine"})
    assert "x-request-id" not in answer.headers
    assert "request_id" not in answer.json()
    assert observer_for(Settings()) is None


def test_two_workers_write_whole_lines_into_one_file(trained, tmp_path):
    file = tmp_path / "access.log"
    settings = {"GAN_MODELS": str(trained.models), "GAN_WORKERS": "2", "GAN_ACCESS_LOG": str(file), "BENTOML_HOME": str(tmp_path)}
    with running(**settings) as client:
        asked = [client.get(f"/generate?seed={seed}", headers={"X-Request-ID": f"seed-{seed}"}) for seed in range(30)]
        client.post("/bento/generate", json={"seed": 1}, headers={"X-Request-ID": "bento"})
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    by_id = {found["id"]: found for found in lines}
    for seed, answer in enumerate(asked):
        assert by_id[f"seed-{seed}"]["bytes"] == len(answer.content)
    assert (by_id["bento"]["path"], by_id["bento"]["images"]) == ("/bento/generate", 1)
    assert "/readyz" in {found["path"] for found in lines}


def test_standard_output_takes_lines_of_json():
    program = (
        "from pathlib import Path; from serving.access_log import AccessLog; from serving.request_record import RequestRecord\n"
    )
    program += "log = AccessLog(Path('-')); log.write(RequestRecord.begin('GET', '/ü\\n', [])); log.close()"
    output = subprocess.check_output([sys.executable, "-c", program])
    assert output.count(b"\n") == 1
    assert json.loads(output)["path"] == "/ü\n"


def test_a_log_that_nobody_reads_loses_lines_and_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(access_log, "_MOST_WAITING", 3)
    may_write, write = threading.Event(), access_log.os.write
    monkeypatch.setattr(access_log.os, "write", lambda *given: may_write.wait() and write(*given))
    log = AccessLog(tmp_path / "log")
    for _ in range(50):
        log.write(RequestRecord.begin("GET", "/", []))
    may_write.set()
    log.close()
    lines = [json.loads(text) for text in (tmp_path / "log").read_text().splitlines()]
    lost = sum(found.get("lost", 0) for found in lines)
    assert lost >= 46
    assert sum("id" in found for found in lines) + lost == 50


def test_a_disk_that_is_full_ends_the_log_and_nothing_else(caplog):
    log = AccessLog(Path("/dev/full"))
    for _ in range(3):
        log.write(RequestRecord.begin("GET", "/", []))
    log.close()
    assert "No space left" in caplog.text


def test_a_file_that_cannot_be_written_to_stops_the_start(tmp_path):
    with pytest.raises(AccessLogError, match=r"GAN_ACCESS_LOG: cannot write to .*nowhere"):
        observer_for(Settings(access_log=tmp_path / "nowhere" / "log"))
