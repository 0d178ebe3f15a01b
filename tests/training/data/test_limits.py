"""What is bounded: pixels of one image, memory of all that are decoded at once, what is kept on the disk."""

import fcntl
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.conftest import save
from training import data
from training.data import cache_limit, decode_files, listing
from training.data.memory_budget import Budget


def load(source, **options):
    return data.load(str(source), (16, 16), **options)


def test_one_large_image_of_ones_own_is_read(tmp_path):
    for number in range(24):
        save(tmp_path / f"{number}.png", (number, 0, 0))
    Image.new("1", (10_000, 9_000), 1).save(tmp_path / "large.png")
    limit = Image.MAX_IMAGE_PIXELS
    assert len(load(tmp_path).images) == 25
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_can_be_chosen(tmp_path):
    save(tmp_path / "a.png", "red", (20, 20))
    save(tmp_path / "b.png", "red", (21, 20))
    dataset = load(tmp_path, max_pixels=400, max_bad=0.5)
    (reason,) = dataset.skipped
    assert reason.startswith("b.png (it has 420 pixels, over --max-pixels 400: raise that if it is your own)")
    assert len(load(tmp_path, max_pixels=420).images) == 2


def test_a_budget_admits_what_fits_and_anything_alone():
    budget, most, held = Budget(10), 0, 0
    lock = threading.Lock()

    def work(amount):
        nonlocal most, held
        with budget.hold(amount):
            with lock:
                held += amount
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= amount

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (3, 4, 5, 10, 2, 25) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 25
    with pytest.raises(ValueError, match="x"), budget.hold(10):
        raise ValueError("x")
    work(10)


def test_what_is_held_at_once_is_bounded(tmp_path, monkeypatch):
    for number in range(20):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / f"{number}.png")
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(decode_files, "usable_processors", lambda: 8)
    monkeypatch.setattr(decode_files, "memory_limit", lambda: 4 * 2 * size)  # two of them
    held, most, lock = 0, 0, threading.Lock()
    read, decode = listing.File.read, decode_files.decode

    def counted_read(file):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read(file)

    def counted_decode(content, options):
        nonlocal held
        time.sleep(0.002)
        with lock:
            held -= 1
        return decode(content, options)

    monkeypatch.setattr(listing.File, "read", counted_read)
    monkeypatch.setattr(decode_files, "decode", counted_decode)
    assert len(load(tmp_path).images) == 20
    assert most <= 2


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_no_image_is_never_read_whole(tmp_path, monkeypatch, packed):
    save(tmp_path / "in" / "a.png", "red")
    (tmp_path / "in" / "b.png").write_bytes(bytes(5_000_000))
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (tmp_path / "in").iterdir():
            archive.write(path, path.name)
    asked = []
    read = listing.File.read
    monkeypatch.setattr(listing.File, "read", lambda file: asked.append(file.name) or read(file))
    dataset = load(tmp_path / ("in.zip" if packed else "in"), max_bad=0.5)
    assert dataset.skipped[0].startswith("b.png (it is no PNG")
    assert set(asked) == {"a.png"}


def entries(cache):
    return sorted((cache / "decoded").glob("[!.]*"))


@pytest.fixture
def sets(tmp_path):
    """Four sets, each of which is about as large on the disk."""
    for name in "abcd":
        for number in range(8):
            save(tmp_path / name / f"{number}.png", (ord(name), 0, number))
    return [tmp_path / name for name in "abcd"]


def size_of(entry):
    return sum(path.stat().st_size for path in entry.iterdir())


_LOAD = "import sys; from training import data; data.load(sys.argv[1], (16, 16))"


def load_elsewhere(folder):
    subprocess.run([sys.executable, "-c", _LOAD, str(folder)], check=True, cwd=Path(__file__).parents[3])


def use_at(entry, seconds):
    os.utime(entry / "record.json", (seconds, seconds))


def test_what_was_not_used_for_longest_is_removed(sets, cache, monkeypatch, capsys, lines):
    made = []
    for folder in sets[:3]:
        load_elsewhere(folder)
        made.append(next(entry for entry in entries(cache) if entry not in made))
    for entry, seconds in zip(made, (2_000, 1_000, 3_000), strict=True):
        use_at(entry, seconds)
    monkeypatch.setattr(cache_limit, "limit_of", lambda root: int(3.5 * size_of(made[0])))
    dataset = load(sets[3])
    assert set(made) - set(entries(cache)) == {made[1]}
    assert f"removed {made[1]}, decoded images not used since 1970-01-01" in capsys.readouterr().err
    assert dataset.notes[-1].count(" MB") == 3  # of this set, of all, and the limit
    # Reading counts as use.
    load_elsewhere(sets[0])
    use_at(made[2], 3_000)
    monkeypatch.setattr(cache_limit, "limit_of", lambda root: int(2.5 * size_of(made[0])))
    load(sets[3])
    assert set(made) & set(entries(cache)) == {made[0]}
    assert not list((cache / "decoded").glob(".removed*"))


def test_what_is_in_use_is_never_removed(sets, cache, monkeypatch):
    load(sets[0])
    (entry,) = entries(cache)
    use_at(entry, 1_000)
    command = "import sys, training.data.cache_limit as t; t.limit_of = lambda root: 0; " + _LOAD
    subprocess.run([sys.executable, "-c", command, str(sets[1])], check=True, cwd=Path(__file__).parents[3])
    assert entry in entries(cache)
    assert len(entries(cache)) == 2  # its own it uses too
    load_elsewhere(sets[2])
    monkeypatch.setattr(cache_limit, "limit_of", lambda root: 0)
    load(sets[0])
    assert entries(cache) == [entry]


def test_what_killed_processes_leave_is_removed(sets, cache):
    load(sets[0])
    left = cache / "decoded" / ".0123.abc"
    left.mkdir()
    (left / "pictures.npy").write_bytes(b"x")
    (cache / "decoded" / ".0123.lock").write_bytes(b"")
    with (cache / "decoded" / ".writing").open("w") as file:  # somebody is at work
        fcntl.flock(file, fcntl.LOCK_SH)
        load(sets[1])
        assert left.is_dir()
    load(sets[1])
    assert [path.name for path in (cache / "decoded").glob(".*")] == [".writing"]


def test_a_process_that_is_killed_while_it_decodes_leaves_nothing_for_ever(sets, cache, tmp_path):
    command = (
        "import os, signal, training.data.decode_files as s; s.decode = lambda *_: os.kill(os.getpid(), signal.SIGKILL); " + _LOAD
    )
    ran = subprocess.run([sys.executable, "-c", command, str(sets[0])], cwd=Path(__file__).parents[3])
    assert ran.returncode == -9
    assert any(path.is_dir() for path in (cache / "decoded").glob(".*"))
    load(sets[1])
    assert not any(path.is_dir() for path in (cache / "decoded").glob(".*"))


def test_an_entry_that_is_removed_while_it_is_opened_is_made_anew(sets, cache):
    load(sets[0])
    (entry,) = entries(cache)
    mark = entry / "record.json"
    content = mark.read_bytes()
    mark.unlink()
    with pytest.raises(FileNotFoundError):
        cache_limit.hold(mark)
    mark.write_bytes(content)
    cache_limit.hold(mark)


def test_the_limit_is_a_part_of_the_disk(tmp_path):
    assert 0 < cache_limit.limit_of(tmp_path) <= os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks // 10


def test_larger_images_can_be_surveyed(tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.inspection.MAX_PIXELS", 399)
    save(tmp_path / "a.png", (9, 9, 9), (20, 20))
    found = data.survey(str(tmp_path))
    assert (found.count, found.height, found.channels) == (1, 20, 3)  # which it is not decoded to be sure of


def test_a_cache_that_can_only_be_read_is_read(sets, cache, monkeypatch):
    load(sets[0])

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(decode_files, "decode", refuse)
    assert len(load(sets[0]).images) == 8
