import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.conftest import save
from tests.training.data.mixed import EMOJI
from training import data
from training.data import decode_cache, decode_files
from training.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        save(tmp_path / "set" / "ab"[number % 2] / f"{number:02d}.png", (number, 0, 0))
    return tmp_path / "set"


@pytest.fixture
def decoded(monkeypatch):
    """Contents that were decoded."""
    contents = []
    original = decode_files.decode
    monkeypatch.setattr(decode_files, "decode", lambda content, options: contents.append(content) or original(content, options))
    return contents


def load(folder, **options):
    return data.load(str(folder), (16, 16), **options)


def entries(cache):
    return sorted((cache / "decoded").glob("[!.]*"))


def same(one, two):
    assert np.array_equal(one.images, two.images)
    assert (one.fingerprint, one.classes, one.skipped) == (two.fingerprint, two.classes, two.skipped)
    assert (one.labels is None) == (two.labels is None)
    assert one.labels is None or one.labels.tolist() == two.labels.tolist()
    assert (one.held_out is None) == (two.held_out is None)
    assert one.held_out is None or np.array_equal(one.held_out.images, two.held_out.images)


def test_a_second_start_decodes_nothing(folder, decoded, cache):
    (folder / "a" / "bad.png").write_bytes(b"")
    first = load(folder, max_bad=0.1)
    assert len(decoded) == 12
    second = load(folder, max_bad=0.1)
    assert len(decoded) == 12
    same(first, second)
    assert first.notes == second.notes
    (entry,) = entries(cache)
    assert any(str(entry) in note and " MB" in note for note in first.notes)
    # Labels and the share of broken files do not change what is decoded.
    assert load(folder, max_bad=0.1, labelled=True).labels.tolist() == [0] * 6 + [1] * 6
    with pytest.raises(DataError, match="--max-bad"):
        load(folder)
    assert len(decoded) == 12


def test_the_recorded_fingerprints_are_those_of_the_arrays(folder):
    for labelled in (False, True):
        dataset = load(folder, labelled=labelled)
        assert dataset.recorded_fingerprint == data.dataset.fingerprint(dataset.images, dataset.classes, dataset.labels)


def test_other_content_names_and_options_are_other_entries(folder, decoded, cache):
    load(folder)
    save(folder / "a" / "00.png", (99, 0, 0))
    assert load(folder).images[0, 0, 0, 0] == 99
    (folder / "a" / "00.png").rename(folder / "b" / "00.png")
    assert load(folder).images[5, 0, 0, 0] == 99
    (folder / "a" / "10.png").rename(folder / "b" / "-.png")  # which leaves the order as it was
    assert load(folder, labelled=True).labels.tolist() == [0] * 4 + [1] * 8
    load(folder, background="black")
    load(folder, fit="pad")
    data.load(str(folder), (16, 20))
    assert len(decoded) == 7 * 12
    assert len(entries(cache)) == 7
    # Whereas neither the place of the folder nor the time of its files matters.
    shutil.copytree(folder, folder.parent / "copy")
    data.load(str(folder.parent / "copy"), (16, 20))
    assert len(entries(cache)) == 7


@pytest.mark.parametrize(
    "harm",
    [
        lambda entry: (entry / "record.json").unlink(),
        lambda entry: (entry / "record.json").write_text("{"),
        lambda entry: (entry / "record.json").write_text(
            json.dumps(json.loads((entry / "record.json").read_text()) | {"format": 9})
        ),
        lambda entry: (entry / "pictures.npy").unlink(),
        lambda entry: os.truncate(entry / "pictures.npy", 500),
        lambda entry: os.truncate(entry / "pictures.npy", 1 << 20),
        lambda entry: (entry / "pictures.npy").write_bytes(bytes((entry / "pictures.npy").stat().st_size)),
    ],
)
def test_a_damaged_entry_is_made_anew(folder, decoded, cache, harm):
    first = load(folder)
    (entry,) = entries(cache)
    harm(entry)
    same(load(folder), first)
    assert len(decoded) == 24
    load(folder)
    assert len(decoded) == 24
    assert entries(cache) == [entry]


def test_a_set_larger_than_memory_is_mapped_and_just_the_same(monkeypatch):
    read = data.load(str(EMOJI), (32, 32), labelled=True)
    monkeypatch.setattr(decode_cache, "memory_limit", lambda: 10_000)
    mapped = data.load(str(EMOJI), (32, 32), labelled=True)
    assert not isinstance(read.images, np.memmap)
    assert isinstance(mapped.images, np.memmap)
    assert not mapped.images.flags.writeable
    same(mapped, read)
    batches = [dataset.batch(seed=1, seen=280, size=64) for dataset in (mapped, read)]
    assert np.array_equal(batches[0][0], batches[1][0])
    assert batches[0][1].tolist() == batches[1][1].tolist()
    assert not isinstance(batches[0][0], np.memmap)
    assert batches[0][0].flags.writeable


def test_the_limit_is_a_quarter_of_the_memory():
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < decode_cache.memory_limit() <= physical // 4


def test_many_files_are_decoded_in_parts(monkeypatch, tmp_path):
    # Ten files at a time, and the grey ones among them reduced to one channel four at a time
    monkeypatch.setattr(decode_files, "_AT_ONCE", 10)
    monkeypatch.setattr(decode_files, "_COPIED_AT_ONCE", 4 * 3 * 16 * 16)
    for number in range(35):
        save(tmp_path / f"{number:02d}.png", number, mode="L")
    (tmp_path / "07.png").write_bytes(b"")
    images = load(tmp_path, max_bad=0.1).images
    assert images.shape == (34, 1, 16, 16)
    assert images[:, 0, 3, 3].tolist() == [number for number in range(35) if number != 7]


_SLOWLY = """
import fcntl, sys, time
from pathlib import Path
from training import data
from training.cli.console import log_lines
from training.data import decode_files

folder, waits, go, decoded = map(Path, sys.argv[1:])
decode, flock = decode_files.decode, fcntl.flock

def wait_and_decode(content, options):
    while not go.exists():
        time.sleep(0.01)
    with decoded.open("a") as file:
        file.write("x")
    return decode(content, options)

def say_and_lock(file, how):
    if how == fcntl.LOCK_EX:
        waits.touch()
    flock(file, how)

decode_files.decode, fcntl.flock = wait_and_decode, say_and_lock
with log_lines():
    print(data.load(str(folder), (16, 16)).fingerprint)
"""


def test_of_two_runs_that_start_at_once_one_decodes(folder, cache, tmp_path):
    waits, go, decoded = (tmp_path / name for name in ("waits", "go", "decoded"))
    command = [sys.executable, "-c", _SLOWLY, *map(str, (folder, waits, go, decoded))]
    root = Path(__file__).parents[3]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    while not waits.exists():  # one of them at the lock that the other has
        assert [run.poll() for run in runs] == [None, None]
        time.sleep(0.01)
    go.touch()
    said = [run.communicate(timeout=60) for run in runs]
    assert [out.strip() for out, _ in said] == [load(folder).fingerprint] * 2
    assert sum("waiting for another run" in err for _, err in said) == 1
    assert decoded.read_text() == "x" * 12


def test_a_cache_that_cannot_be_written_is_named(folder, cache):
    cache.mkdir()
    (cache / "decoded").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"cannot keep the decoded images in .*decoded.*set XDG_CACHE_HOME to another folder"):
        load(folder)


def test_a_full_disk_is_found_before_anything_is_decoded(folder, monkeypatch, decoded, cache):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"No space left on device.*make room there, or set XDG_CACHE_HOME"):
        load(folder)
    assert decoded == []
    assert entries(cache) == []


@pytest.mark.parametrize("home", ["", "not/absolute"])
def test_without_a_cache_home_it_is_dot_cache(monkeypatch, tmp_path, home):
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert decode_cache.cache_root() == tmp_path / ".cache" / "gan-service"


def test_files_that_cannot_be_read_are_broken(folder, monkeypatch):
    path = folder / "a" / "00.png"
    path.unlink()
    path.symlink_to(folder / "a" / "00.png.target")
    assert len(load(folder).images) == 11  # a link to nothing is no file
    Image.new("RGB", (5, 5)).save(folder / "a" / "00.png.target", "PNG")
    opened = Path.open

    def refuse(self, *arguments, **options):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert load(folder, max_bad=0.1).skipped[0].startswith("a/00.png ([Errno 13] Permission denied")
