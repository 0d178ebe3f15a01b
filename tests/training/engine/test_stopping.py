"""Signals that ask a run to save and stop."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.engine import stopping
from training.engine.stopping import StopSignal

ROOT = Path(__file__).parents[3]
ASKING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2]


@pytest.fixture(autouse=True)
def as_before():
    handlers = {number: signal.getsignal(number) for number in ASKING}
    for number in ASKING[2:]:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


ASKED = """
import os, signal, sys
from training.engine.stopping import StopSignal
asking = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2]
for other in asking:
    signal.signal(other, signal.SIG_DFL)
number, stop = int(sys.argv[1]), StopSignal()
assert not stop.received()
os.kill(os.getpid(), number)
assert stop.received()
assert stop.number == number
stop.let_go()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert all(signal.getsignal(other) is signal.SIG_DFL for other in asking[1:])
print("done")
"""


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_asks_the_run_to_stop_and_ends_nothing(number):
    """In a process of its own: a signal that came a moment late would end the tests."""
    found = subprocess.run([sys.executable, "-c", ASKED, str(int(number))], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "done\n"), found.stderr


@pytest.mark.parametrize("number", ASKING[2:])
def test_a_signal_that_is_ignored_when_the_run_starts_stays_ignored(number):
    """As nohup has it for SIGHUP."""
    signal.signal(number, signal.SIG_IGN)
    stop = StopSignal()
    os.kill(os.getpid(), number)
    assert not stop.received()
    stop.let_go()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_who_asks_twice_in_a_moment_asks_once_and_who_insists_later_is_obeyed(monkeypatch):
    """A closing terminal, torchrun and timeout send more than one signal."""
    ended = []
    clock = [100.0]
    monkeypatch.setattr(stopping, "monotonic", lambda: clock[0])
    monkeypatch.setattr(stopping.os, "_exit", ended.append)
    stop = StopSignal()
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    clock[0] += 60
    for number in (signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1):  # which come again by themselves
        os.kill(os.getpid(), number)
    assert ended == []
    assert stop.number == signal.SIGHUP
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert ended == [128 + signal.SIGTERM, 128 + signal.SIGINT]


STREAMS = """
import sys
from training.cli import console
def main():
    for number in range(2000):
        print("line", number)
        print("error", number, file=sys.stderr)
    open(sys.argv[1], "w").write(f"done, {sys.stdout is not None and sys.stdout.isatty()}")
    return 3
console.run(main)
"""


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("{python} - {file} < {script} 2>/dev/null | head -3; echo ${{PIPESTATUS[0]}}", 3),
        ("{python} - {file} < {script} 2>&1 >/dev/null | head -3; echo ${{PIPESTATUS[0]}}", 3),
        ("{python} - {file} < {script} 2>&1 | head -3; echo ${{PIPESTATUS[0]}}", 3),
        ("{python} - {file} < {script} >/dev/full 2>/dev/null; echo $?", 3),
        ("{python} - {file} < {script} >/dev/null 2>/dev/full; echo $?", 3),
        ("{python} - {file} < {script} >&- 2>/dev/null; echo $?", 3),
        ("{python} - {file} < {script} >/dev/null 2>&-; echo $?", 3),
        ("{python} {script} {file} <&- >&- 2>&-; s=$?; echo $s", 3),
    ],
)
def test_a_command_outlives_its_streams(tmp_path, command, status):
    (tmp_path / "script.py").write_text(STREAMS)
    text = command.format(python=sys.executable, script=tmp_path / "script.py", file=tmp_path / "out")
    found = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == str(status)
    assert (tmp_path / "out").read_text() == "done, False"
    for text in (found.stdout, found.stderr):
        assert "Traceback" not in text
        assert "Exception" not in text


def test_what_is_printed_after_a_reader_has_left_reaches_no_file(tmp_path):
    """A closed descriptor's number would be given to the next file that is opened."""
    (tmp_path / "script.py").write_text(
        "import os, sys\nfrom training.cli import console\ndef main():\n"
        "    file = open(sys.argv[1], 'w')\n    os.write(1, b'said')\n    os.write(2, b'said')\n    return 0\nconsole.run(main)\n"
    )
    command = f"{sys.executable} {tmp_path}/script.py {tmp_path}/out <&- >&- 2>&-"
    subprocess.run(["bash", "-c", command], check=True)
    assert (tmp_path / "out").read_text() == ""
