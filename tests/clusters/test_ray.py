"""python -m gan.bulk on Ray: a set is the same whatever is killed while it is made."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from gan import sample

pytestmark = pytest.mark.timeout(900)  # Ray takes some seconds to start, and minutes beside much other work


def files(folder):
    return {one.name: one.read_bytes() for one in folder.iterdir() if not one.name.startswith(".")}


def wait_until(check, seconds=300):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def drawers(process):
    """The processes that draw for a command."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [one for one in children if "Drawer" in "".join(one.cmdline())]
    except psutil.Error:
        return []


def drawers_left():
    """Processes that draw for any command: they outlive a killed one for a moment."""
    return [one for one in psutil.process_iter(["name"]) if "Drawer" in (one.info["name"] or "")]


def test_nothing_is_lost_or_doubled_when_a_process_and_then_the_command_are_killed(conditional, tmp_path):
    flags = ["--seeds", "0-11999", "--format", "webdataset", "--shard-size", "100", "--label", "balanced"]
    assert sample.main([str(conditional.model), "--out", str(tmp_path / "expected"), *flags]) == 0
    out = tmp_path / "set"
    words = [sys.executable, "-m", "gan.bulk", str(conditional.model), "--out", str(out), "--processes", "2", *flags]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(out.glob("shard-*"))) >= 2)
    victim = wait_until(lambda: drawers(process))[0]
    victim.send_signal(signal.SIGKILL)
    made = len(list(out.glob("shard-*")))
    wait_until(lambda: len(list(out.glob("shard-*"))) >= made + 4)  # it went on
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not drawers_left(), 60)  # Ray ends with its command
    finished = {one: one.stat().st_mtime_ns for one in out.glob("shard-*")}
    assert 6 <= len(finished) < 120
    assert not (out / "manifest.json").exists()
    assert subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    assert files(out) == files(tmp_path / "expected")
    assert all(one.stat().st_mtime_ns == before for one, before in finished.items())
    manifest = json.loads((out / "manifest.json").read_text())
    assert [one["first_seed"] for one in manifest["shards"]] == list(range(0, 12000, 100))


@contextmanager
def node(environment, *arguments):
    """A machine of a cluster, with one processor and a current folder of its own, started as docs/scale.md says."""
    words = [Path(sys.executable).with_name("ray"), "start", "--num-cpus", "1", "--disable-usage-stats", "--block", *arguments]
    with (
        tempfile.NamedTemporaryFile("w") as log,
        subprocess.Popen(words, cwd="/", env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        said = Path(log.name)
        try:
            wait_until(lambda: "Ray runtime started" in said.read_text() or process.poll() is not None)
            assert process.poll() is None, said.read_text()
            yield process
        finally:
            if process.poll() is None:
                for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                    one.kill()


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two machines; the address, and the second of them."""
    with (
        tempfile.TemporaryDirectory(prefix="ray") as folder,
        ExitStack() as held,
        socket.socket() as free,
    ):  # short, for sockets in it
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        for name, value in (("TMPDIR", folder), ("AUTH_MODE", "token"), ("AUTH_TOKEN", secrets.token_hex(32))):
            monkeypatch.setenv(f"RAY_{name}", value)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        held.enter_context(node(dict(os.environ), "--head", "--include-dashboard", "false", "--port", address.partition(":")[2]))
        yield address, held.enter_context(node(dict(os.environ), "--address", address))


def test_a_cluster_goes_on_without_a_machine_that_dies(conditional, tmp_path, monkeypatch, cluster):
    address, second = cluster
    flags = ["--seeds", "0-7999", "--format", "webdataset", "--shard-size", "100"]
    assert sample.main([str(conditional.model), "--out", str(tmp_path / "expected"), *flags]) == 0
    monkeypatch.setenv("RAY_ADDRESS", address)
    words = [sys.executable, "-m", "gan.bulk", str(conditional.model), "--out", "set", *flags]  # a folder of the command's own
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.glob("set/shard-*"))) >= 4 or process.poll() is not None)
    (raylet,) = (one for one in psutil.Process(second.pid).children() if one.name() == "raylet")
    raylet.kill()
    assert process.poll() is None
    assert process.wait(600) == 0
    assert files(tmp_path / "set") == files(tmp_path / "expected")
