"""The folders of runs: what is kept in them and removed from them, and what may change when a run goes on."""

import os

from gan import atomic
from training.tracking import run_dir


def test_only_what_a_killed_process_was_writing_is_removed(tmp_path):
    own = [".git/HEAD", ".dvc/config", ".ipynb_checkpoints/a", ".notes", ".config.yaml.swp"]
    for name in own:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / ".elsewhere").mkdir()
    (tmp_path / ".gan-tmp-link").symlink_to(tmp_path / ".git", target_is_directory=True)

    def die(_):
        os._exit(0)

    for write in (
        lambda: atomic.write_atomically(tmp_path / "model", die),
        lambda: atomic.write_bytes_atomically(tmp_path / "config.yaml", b"width: 4"),
    ):
        child = os.fork()
        if not child:
            os.fsync = die
            write()
        os.waitpid(child, 0)
    assert len(list(tmp_path.glob(".gan-tmp-*"))) == 3
    with run_dir.locked(tmp_path):
        pass
    assert not list(tmp_path.glob(".gan-tmp-*"))
    assert all((tmp_path / name).read_text() == "mine" for name in own)
    assert (tmp_path / ".elsewhere").is_dir()
