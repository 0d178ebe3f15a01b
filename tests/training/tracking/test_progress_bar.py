"""How far a run has come: a bar on a terminal, plain lines elsewhere."""

import re
import sys

import pytest

from tests.conftest import SMALL_DATA
from training.run import main
from training.tracking import progress_bar
from training.tracking.progress_bar import Progress

pytestmark = pytest.mark.usefixtures("lines")


class Terminal:
    """Standard error that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress_bar, "perf_counter", lambda: now[0])
    return now


def test_a_log_file_gets_a_plain_line_a_minute(capsys, clock):
    bar = Progress(1000, 0, shown=True)
    for _ in range(100):
        clock[0] += 3
        bar.update(10)
        bar.set_statistics(1000, {"loss_d": 0.5})
    bar.close()
    found = capsys.readouterr()
    lines = found.err.splitlines()
    assert "\r" not in found.err
    assert found.out == ""
    assert lines.pop(0) == "the first 10 images took 3.0 s"
    assert len(lines) == 6  # at first, after each of four minutes, and at the end, five minutes on
    assert lines[0] == "10 of 1,000 images (1%), 3 images/s, 0:04:57 left; loss_d 0.500"
    assert lines[-1] == "1,000 of 1,000 images (100%), 3 images/s, 0:00:00 left; loss_d 0.500"


def test_a_line_without_statistics_ends_with_the_time(capsys, clock):
    bar = Progress(1000, 0, shown=True)
    clock[0] += 1
    bar.update(10)
    bar.set_statistics(1000, {})
    bar.close()
    assert capsys.readouterr().err.splitlines()[1:] == ["10 of 1,000 images (1%), 10 images/s, 0:01:39 left"]


def test_other_processes_say_nothing(capsys, clock):
    bar = Progress(1000, 0, shown=False)
    bar.update(10)
    bar.set_statistics(1000, {"loss_d": 0.5})
    bar.close()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(1000, 500, shown=True)
    bar.update(10)
    bar.set_statistics(1000, {"loss_d": 0.5})
    bar.close()
    assert "510/1.00k" in sys.stderr.text
    assert "loss_d=0.500" in sys.stderr.text


def test_a_total_that_is_not_known_yet_has_no_time_left(monkeypatch):
    """Of --minutes the first steps tell how many images they come to."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(None, 0, shown=True)
    bar.update(10)
    assert "/?" in sys.stderr.text
    assert "left" not in sys.stderr.text
    bar.set_statistics(640, {})
    bar.update(10)
    bar.close()
    assert "20.0/640" in sys.stderr.text


def test_the_time_left_of_a_run_by_the_clock_is_that_of_the_clock(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(None, 0, shown=True)
    clock[0] += 10
    bar.update(100)
    bar.set_statistics(10_000, {"loss_d": 0.5}, seconds_left=65.0)
    assert "left=0:01:05, loss_d=0.500" in sys.stderr.text
    bar.set_statistics(200, {}, seconds_left=65.0)  # its images end it before
    assert "left=0:00:10" in sys.stderr.text
    bar.close()
    assert "<" not in sys.stderr.text  # tqdm's own guess


def test_a_run_by_the_clock_never_counts_to_its_images(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(progress_bar, "_BETWEEN_LINES", 0.0)
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    flags = ["--data", str(SMALL_DATA), "--width", "4", "--threads", "1", "--measure", "100", "--measure-final", "100"]
    assert main([*flags, *where, "--minutes", "0.02", "--images", "1000000M", "--features", "random"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " images (" in line]
    assert lines
    for line in lines:
        total, left = re.search(r"of ([\d,]+) images .* (\d+:\d\d:\d\d) left", line).groups()
        assert int(total.replace(",", "")) < 10**6
        assert left.startswith("0:0")
