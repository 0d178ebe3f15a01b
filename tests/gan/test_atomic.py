"""Writing whole or not at all, whatever comes in between."""

import os
import stat
from pathlib import Path

import pytest

from gan import atomic


@pytest.fixture(params=["exchanged by the kernel", "renamed one after the other"])
def file_system(request, monkeypatch):
    """Ours, and one such as NFS, which cannot exchange two folders."""
    if request.param == "renamed one after the other":
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)


def filled_with(text):
    return lambda folder: (folder / "whole").write_text(text)


@pytest.mark.parametrize(("renames", "left"), [(1, "old"), (2, "new")])
def test_ctrl_c_between_or_after_the_renames_leaves_a_whole_folder(tmp_path, monkeypatch, renames, left):
    target = tmp_path / "model"
    atomic.write_atomically(target, filled_with("old"))
    plain, done = Path.rename, []

    def rename(self, to):
        plain(self, to)
        done.append(to)
        if len(done) == renames:
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_atomically(target, filled_with("new"), replace=True)
    assert (target / "whole").read_text() == left
    assert list(tmp_path.iterdir()) == [target]


def test_ctrl_c_after_the_exchange_leaves_the_new_folder(tmp_path, monkeypatch):
    target, plain = tmp_path / "model", atomic._exchange
    atomic.write_atomically(target, filled_with("old"))

    def exchange(one, other):
        assert plain(one, other)
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "_exchange", exchange)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_atomically(target, filled_with("new"), replace=True)
    assert (target / "whole").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_while_a_folder_is_replaced_there_always_is_one(tmp_path, monkeypatch):
    target = tmp_path / "model"
    atomic.write_atomically(target, filled_with("old"))
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("the target was away between two renames"))
    atomic.write_atomically(target, filled_with("new"), replace=True)
    assert (target / "whole").read_text() == "new"


@pytest.mark.usefixtures("file_system")
def test_folders_within_can_be_read_by_others(tmp_path):
    def fill(folder):
        (folder / "samples" / "more").mkdir(parents=True, mode=0o700)
        (folder / "samples" / "more" / "file").touch(0o600)

    for replace in (False, True):
        atomic.write_atomically(tmp_path / "model", fill, replace)
        for folder in ("", "samples", "samples/more"):
            assert stat.S_IMODE((tmp_path / "model" / folder).stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / "model/samples/more/file").stat().st_mode) == 0o644


@pytest.mark.usefixtures("file_system")
def test_a_file_at_the_target_is_left_alone_and_nothing_beside_it(tmp_path):
    target = tmp_path / "model"
    target.write_text("somebody's")
    with pytest.raises(NotADirectoryError, match="a file is in the way of a folder"):
        atomic.write_atomically(target, lambda _: pytest.fail("nothing is to be written"), replace=True)
    assert target.read_text() == "somebody's"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("file_system")
def test_a_link_at_the_target_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "whole").write_text("old")
    (tmp_path / "model").symlink_to("kept")
    (tmp_path / "nowhere").symlink_to("missing")
    for name in ("model", "nowhere"):
        atomic.write_atomically(tmp_path / name, filled_with("new"), replace=True)
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name / "whole").read_text() == "new"
    assert (tmp_path / "kept" / "whole").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model", "nowhere"]


def test_what_is_being_written_has_names_of_one_kind(tmp_path):
    """So that whoever clears up after a killed process can tell its leftovers from everything else that is hidden."""
    seen = []

    def fill(folder):
        seen.extend(path.name for path in tmp_path.iterdir())
        raise RuntimeError

    long = tmp_path / ("x" * 250)
    with pytest.raises(RuntimeError):
        atomic.write_atomically(long, fill)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: fill(None))
        with pytest.raises(RuntimeError):
            atomic.write_bytes_atomically(long, b"content")
    assert len(seen) == 2
    assert all(name.startswith(atomic.TEMPORARY) for name in seen)
    assert atomic.TEMPORARY == ".gan-tmp-"
    assert list(tmp_path.iterdir()) == []
