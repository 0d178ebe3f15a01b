"""What training logs: lines of the commands, and nothing of a program that imports it and did not ask."""

import io
import logging
import subprocess
import sys

from tests.conftest import SMALL_DATA
from training import data
from training.cli.console import log_lines
from training.config.schema import TrainingConfig
from training.engine.loop import train
from training.engine.state import TrainingState
from training.hardware import Hardware

LOG = logging.getLogger("training.some.module")
RUN = TrainingConfig(data=str(SMALL_DATA), width=4, images=128, batch_size=32, threads=1, device="cpu", checkpoint_every=64)


def test_a_command_writes_lines(capsys, monkeypatch):
    with log_lines(), log_lines():
        LOG.info("said")
        LOG.warning("doubted")
        LOG.error("failed")
        LOG.warning("after 64 images: doubted", extra={"stream": "stdout"})
        LOG.info("at work", extra={"stream": "stderr"})
        LOG.debug("nobody asks")
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        LOG.info("elsewhere")
        assert sys.stdout.getvalue() == "elsewhere\n"
        monkeypatch.undo()
    LOG.info("the command is over")
    found = capsys.readouterr()
    assert found.out == "said\nwarning, after 64 images: doubted\n"
    assert found.err == "warning: doubted\nfailed\nat work\n"


def engine(folder):
    dataset = data.load(RUN.data, RUN.size)
    hardware = Hardware.choose(RUN)
    assert train(TrainingState.start(RUN, 1, None, hardware), dataset, RUN, hardware, folder, None, lambda: False)


def test_a_program_that_trains_hears_nothing(capfd, tmp_path):
    engine(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_program_may_ask(capfd, tmp_path):
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    logger = logging.getLogger("training")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        engine(tmp_path)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert any("128 of 128 images" in record.getMessage() for record in heard)
    assert capfd.readouterr() == ("", "")


def test_a_warning_is_silent_without_a_handler():
    """Python writes those to standard error otherwise."""
    program = "import logging, training\nlogging.getLogger('training.a').warning('said')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr == ""
