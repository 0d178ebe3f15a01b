"""The server that watches runs: what it lists, and that it gives nothing else away."""

import http.client
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from training.tracking import run_dir, watching
from training.tracking.watch_server import WatchServer
from training.watch import main


@pytest.fixture
def runs(trained, tmp_path) -> Path:
    """A folder of one finished run, to be changed."""
    shutil.copytree(trained.run, tmp_path / "runs" / "001-shirts & more", ignore=shutil.ignore_patterns("checkpoint*", "events*"))
    return tmp_path / "runs"


@pytest.fixture
def ask(runs):
    """A function that sends a request to a server of the runs: (target, headers, method) -> status, headers, body."""
    with WatchServer(runs, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def request(target: str, method: str = "GET", **headers: str):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
            connection.putrequest(method, target, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, answer.headers, body

        yield request
        server.shutdown()
        thread.join()


RUN = "/runs/001-shirts%20&%20more/"


def test_the_list_has_the_run_with_its_figures_and_newest_samples(ask):
    status, _, body = ask("/runs.json")
    (run,) = json.loads(body)["runs"]
    assert status == 200
    assert (run["name"], run["state"], run["share"], run["warning"]) == ("001-shirts & more", "finished", None, None)
    assert run["facts"][0] == "2,048 images"
    assert {name for name, _ in run["figures"]} >= {"Fréchet distance", "recall", "diversity", "losses"}
    assert ask(RUN + run["samples"])[1]["Content-Type"] == "image/png"
    assert run["samples"] == "samples-000002048.png"


def test_pages_and_files_are_renewed_by_their_tags(ask, runs):
    for target in ("/", "/runs.json", RUN):
        status, headers, body = ask(target)
        assert (status, len(body)) == (200, int(headers["Content-Length"]))
        assert ask(target, If_None_Match=headers["ETag"])[::2] == (304, b"")
    report = next(runs.iterdir()) / "report.html"
    report.write_text("newer")
    status, headers, body = ask(RUN, If_None_Match=headers["ETag"])
    assert (status, body) == (200, b"newer")
    assert ask(RUN, method="HEAD")[2] == b""
    assert ask(RUN.removesuffix("/"))[1]["Location"] == "/runs/001-shirts%20%26%20more/"


def test_a_page_runs_nothing_from_elsewhere(ask):
    _, headers, body = ask("/")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"http://" not in body
    assert b"https://" not in body


@pytest.mark.parametrize(
    "target",
    [
        RUN + "checkpoint-000002048.safetensors",
        RUN + "model/generator.safetensors",
        RUN + "../../secret.html",
        RUN + "%2e%2e/%2e%2e/secret.html",
        RUN + "..%2f..%2fsecret.html",
        RUN + "linked.png",
        RUN + "samples-000000007.png",
        RUN + "samples-000000008.png",
        "/runs/../secret.html",
        "/runs/..",
        "/runs//etc/passwd",
        "//etc/passwd",
        "/secret.html",
        "/runs/none/report.html",
        "/%00",
    ],
)
def test_only_files_of_runs_are_served(ask, runs, target):
    folder = next(runs.iterdir())
    (runs.parent / "secret.html").write_text("secret")
    (folder / "samples-000000007.png").symlink_to(runs.parent / "secret.html")
    os.mkfifo(folder / "samples-000000008.png")
    status, _, body = ask(target)
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("localhost:9000", 200), ("127.0.0.1", 200), ("[::1]:3001", 200), ("192.168.1.5:3001", 200)),
        *(("evil.example:3001", 403), ("127.0.0.1.evil.example", 403), ("", 403)),
    ],
)
def test_another_name_is_refused(ask, host, status):
    assert ask("/runs.json", Host=host)[0] == status


def test_the_states_of_a_run(runs):
    folder = next(runs.iterdir())
    with run_dir.locked(folder):
        assert watching.describe(folder)["state"] == "running"
    assert watching.describe(folder)["state"] == "finished"
    (folder / "warnings.jsonl").write_text(json.dumps({"pictures": 9, "message": "training has ended: it is lost"}) + "\n")
    shown = watching.describe(folder)
    assert (shown["state"], shown["warning"]) == ("diverged", "training has ended: it is lost")
    (folder / "warnings.jsonl").unlink()
    shutil.rmtree(folder / "model")
    (folder / "stats.jsonl").write_text('{"pictures": 500, "loss_d": NaN}\n{"pictures": 1000, "se')
    shown = watching.describe(folder)
    assert (shown["state"], shown["share"], shown["figures"]) == ("stopped", 0.25, [])


@pytest.mark.parametrize("file", ["config.yaml", "stats.jsonl", "warnings.jsonl"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0", b"[" * 100_000, b"null", b'{"pictures": 1, "protocol": [], "recall": "much"}']
)
def test_a_damaged_file_is_passed_over(runs, file, content):
    folder = next(runs.iterdir())
    (folder / file).write_bytes(content)
    json.dumps(watching.describe(folder), allow_nan=False)


def test_the_default_folder_may_come_later(ask, runs, tmp_path, monkeypatch, capsys):
    runs.rename(tmp_path / "away")
    assert json.loads(ask("/runs.json")[2]) == {"folder": str(runs), "runs": []}
    assert ask(RUN)[0] == 404
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WatchServer, "serve_forever", lambda self: print(self.answer("/runs.json").status))
    assert main(["--port", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "200"
    (tmp_path / "runs").write_text("")
    assert main(["--port", "0"]) == 2
    assert "runs: there is no such folder" in capsys.readouterr().err


def test_what_cannot_be_watched_is_said(capsys, runs, tmp_path):
    assert main([str(tmp_path / "none")]) == 2
    assert "there is no such folder; give the folder of runs" in capsys.readouterr().err
    assert main([str(next(runs.iterdir()))]) == 2
    assert "is one run; give the folder that it is in" in capsys.readouterr().err
    with WatchServer(runs, "127.0.0.1", 0) as server:
        assert main([str(runs), "--port", str(server.server_address[1])]) == 2
    assert "give another --port" in capsys.readouterr().err
