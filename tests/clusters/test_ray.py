"""python -m gan.bulk on Ray: a set is the same whatever is killed while it is made."""

import json
import signal
import subprocess
import sys
import time

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
