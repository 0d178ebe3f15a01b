"""Disks that fail a run: one sentence, and what is saved stays whole."""

import errno
import os
import threading
from pathlib import Path

import pytest

from gan import atomic
from gan.atomic import write_bytes_atomically
from tests.conftest import QUICKLY_MEASURED, SMALL_DATA
from training.disk import writing_to
from training.engine import checkpoint
from training.errors import DiskError
from training.run import main
from training.tracking import report

REASONS = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "or have your quota raised",
    errno.EROFS: "mount it writable",
    errno.EACCES: "let this user write there",
    errno.EFBIG: "ulimit -f",
    errno.EIO: "does not work as it should",
    errno.ENXIO: "see that the folder exists",
}


@pytest.mark.parametrize("number", REASONS)
def test_the_disk_the_folder_the_reason_and_the_remedy_are_named(tmp_path, number):
    with pytest.raises(DiskError) as found, writing_to(tmp_path / "run" / "model", "start again"):
        raise OSError(number, os.strerror(number))
    mount = next(path for path in (tmp_path, *tmp_path.parents) if path.is_mount())
    assert str(found.value).startswith(
        f"cannot write to {tmp_path}/run/model ({os.strerror(number)}), on the disk at {mount}, which has "
    )
    assert REASONS[number] in str(found.value)
    assert str(found.value).endswith(", then start again")
    assert "\n" not in str(found.value)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "data.json").mkdir()
    said = r"data\.json \(Is a directory\).*: move that folder away, then go on"
    with pytest.raises(DiskError, match=said), writing_to(tmp_path, "go on"):
        write_bytes_atomically(tmp_path / "data.json", b"{}")


def test_a_file_that_is_known_is_named(tmp_path):
    said = f"^cannot write to {tmp_path}/no/file \\({tmp_path}/no is missing\\): put it back.*, then start again$"
    with pytest.raises(DiskError, match=said), writing_to(Path("/elsewhere"), "start again"):
        (tmp_path / "no" / "file").write_bytes(b"")


def test_a_run_that_was_moved_while_it_trained_is_said_to_be_missing(tmp_path):
    said = f"cannot write to {tmp_path}/run \\({tmp_path}/run is missing\\)"
    with pytest.raises(DiskError, match=said), writing_to(tmp_path, "go on"):
        write_bytes_atomically(tmp_path / "run" / "stats.jsonl", b"")


def test_the_target_of_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "stats.jsonl").symlink_to(tmp_path / "away" / "stats.jsonl")
    with pytest.raises(DiskError, match=f"stats.jsonl \\({tmp_path}/away is missing\\)"), writing_to(tmp_path, "go on"):
        (tmp_path / "stats.jsonl").open("a")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "model").touch()
    with (
        pytest.raises(DiskError, match=r"/model \(a file is in the way of a folder\): move that file away"),
        writing_to(tmp_path, "go on"),
    ):
        atomic.write_atomically(tmp_path / "model", lambda _: None, replace=True)


def fail(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def train(tmp_path, *flags):
    where = ["--out", str(tmp_path / "runs"), "--models", str(tmp_path / "models"), *QUICKLY_MEASURED]
    return main(["--data", str(SMALL_DATA), "--width", "4", "--batch-size", "32", "--features", "random", *where, *flags])


# What fails, from the second time on; checkpoints are whole then, and the run can go on.
PLACES = {
    "a checkpoint": (checkpoint, "write"),
    "the report": (report, "write"),
    "any file that is written whole": (atomic.os, "fsync"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_full_disk_ends_a_run_with_a_sentence_and_it_goes_on_when_there_is_room(capsys, tmp_path, monkeypatch, place):
    assert train(tmp_path, "--images", "128", "--checkpoint-every", "64") == 0
    (run,) = (tmp_path / "runs").iterdir()
    before = {path.name: path.read_bytes() for path in checkpoint.checkpoints(run)}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(*PLACES[place], fail)
        assert train(tmp_path, "--images", "192", "--resume", "latest") == 1
    refused = capsys.readouterr().err
    assert f"training.run: cannot write to {run} (No space left on device), on the disk at " in refused
    assert f"then go on with: python -m training.run --resume {run}" in refused
    assert "Traceback" not in refused
    for name, content in before.items():
        assert (run / name).read_bytes() == content
    assert not list(run.glob(".gan-tmp-*"))
    assert train(tmp_path, "--images", "192", "--resume", "latest") == 0


class FullFile:
    """A file on a disk without room: it takes what fits its buffer, and fails when that is to be written."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        return len(text)

    def flush(self):
        fail()

    def close(self):
        self.file.close()
        fail()


def test_statistics_that_cannot_be_written_end_a_run_with_a_sentence(capsys, tmp_path, monkeypatch):
    whole = Path.open

    def full(path, *arguments, **named):
        file = whole(path, *arguments, **named)
        return FullFile(file) if path.name == "stats.jsonl" and arguments == ("a",) else file

    monkeypatch.setattr(Path, "open", full)
    assert train(tmp_path, "--images", "64") == 1
    refused = capsys.readouterr().err
    assert refused.count("No space left on device") == 1
    assert "Traceback" not in refused


def test_what_tensorboards_thread_cannot_write_is_no_traceback(capsys, tmp_path, monkeypatch):
    from tensorboard.summary.writer.record_writer import RecordWriter

    hook = threading.excepthook
    monkeypatch.setattr(RecordWriter, "flush", fail)
    assert train(tmp_path, "--images", "64") == 1
    refused = capsys.readouterr().err
    assert refused.count("No space left on device") == 1
    assert "Traceback" not in refused
    assert threading.excepthook is hook


def test_a_lock_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    assert train(tmp_path, "--images", "64") == 0
    whole = Path.open

    def locked(path, *arguments, **named):
        if path.name == ".lock":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return whole(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", locked)
    assert train(tmp_path, "--images", "128", "--resume", "latest") == 1
    assert "(Read-only file system), on the disk at " in capsys.readouterr().err
