"""python -m gan.sample: many images into files, the bytes of the service."""

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from gan import sample
from gan.latents import InputSpec, inputs_of_seed
from gan.sampling.seeds import Seeds, SeedsError
from tests.services import serving


@pytest.fixture(scope="module")
def client(conditional):
    with serving(conditional.models) as client:
        yield client


def run(conditional, seeds, out, *flags):
    return sample.main([str(conditional.model), "--seeds", seeds, "--out", str(out), "--threads", "1", *flags])


def answer(client, **fields):
    found = client.post("/generate", json=fields)
    assert found.status_code == 200, found.text
    return found.content


def test_seeds_are_ranges_that_take_no_memory():
    seeds = Seeds.parse("0-9999999,4294967295, 20000000-20000004")
    assert len(seeds) == 10_000_006
    assert (seeds[0], seeds[9_999_999], seeds[10_000_000], seeds[-1]) == (0, 9_999_999, 20_000_000, 4_294_967_295)
    assert seeds[9_999_998:10_000_002] == [9_999_998, 9_999_999, 20_000_000, 20_000_001]
    assert list(Seeds.parse("5,1,3-4")) == [1, 3, 4, 5]
    assert str(Seeds.parse("5,1,3-4")) == "1,3-4,5"
    with pytest.raises(IndexError):
        seeds[10_000_006]


@pytest.mark.parametrize("text", ["", "a", "1,", "3-1", "-1", "0-4294967296", "1-3,2", "7,7", "1..5", "1.5"])
def test_seeds_that_are_none(text):
    with pytest.raises(SeedsError, match=r"seed|given twice"):
        Seeds.parse(text)


def test_a_folder_of_files_as_in_the_services_zip(conditional, client, tmp_path):
    assert run(conditional, "3-7,20", tmp_path / "images", "--scale", "2") == 0
    archive = zipfile.ZipFile(io.BytesIO(answer(client, seeds=[3, 4, 5, 6, 7, 20], scale=2, format="zip")))
    assert {path.name for path in (tmp_path / "images").glob("*.png")} == set(archive.namelist())
    for name in archive.namelist():
        assert (tmp_path / "images" / name).read_bytes() == archive.read(name)


def test_one_file_of_all_is_the_services_answer(conditional, client, tmp_path):
    asked = {"seed": 0, "n": 300, "label": "Bag", "truncation": 0.5}
    flags = ["--label", "Bag", "--truncation", "0.5"]
    for name, more in (("a.npz", []), ("a.zip", [])):
        assert run(conditional, "0-199", tmp_path / name, *flags, *more) == 0
        kind = name.partition(".")[2]
        assert (tmp_path / name).read_bytes() == answer(client, **{**asked, "n": 200}, format=kind)
    assert run(conditional, "0-199", tmp_path / "a.png", *flags, "--columns", "20", "--scale", "2") == 0
    assert (tmp_path / "a.png").read_bytes() == answer(client, **{**asked, "n": 200}, columns=20, scale=2, format="png")


def test_it_goes_on_where_it_was(conditional, tmp_path):
    folder = tmp_path / "images"
    assert run(conditional, "0-9", folder) == 0
    kept = folder / "seed0000000003.png"
    kept.write_bytes(b"kept")
    (folder / "seed0000000005.png").unlink()
    assert run(conditional, "0-19", folder) == 0
    assert len(list(folder.glob("*.png"))) == 20
    assert kept.read_bytes() == b"kept"  # which is there stays as it is


def test_another_request_does_not_mix_with_what_is_there(conditional, tmp_path, capsys):
    assert run(conditional, "0-3", tmp_path / "images") == 0
    assert run(conditional, "4-7", tmp_path / "images", "--label", "Bag") == 1
    message = capsys.readouterr().err
    assert "holds another set (label None, not 'Bag'): give another folder, or the same flags" in message
    assert len(list((tmp_path / "images").glob("*.png"))) == 4


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "zip"])
def test_shards(conditional, client, tmp_path, kind):
    flags = ["--format", kind, "--shard-size", "8", "--label", "balanced"]
    assert run(conditional, "5-24", tmp_path / "set", *flags) == 0
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (manifest["images"], manifest["seeds"], manifest["label"]) == (20, "5-24", "balanced")
    assert [(one["first_seed"], one["last_seed"], one["images"]) for one in manifest["shards"]] == [
        (5, 12, 8),
        (13, 20, 8),
        (21, 24, 4),
    ]
    expected = {seed: answer(client, seed=seed, label=seed % 10, format="png", scale=1) for seed in range(5, 25)}
    found = {}
    for shard in manifest["shards"]:
        found |= contents(tmp_path / "set" / shard["name"], kind)
    assert {seed: png for seed, (png, _) in found.items()} == expected
    if kind != "zip":
        assert {seed: label for seed, (_, label) in found.items()} == {seed: GARMENTS[seed % 10] for seed in range(5, 25)}
    before = {one.name: one.read_bytes() for one in (tmp_path / "set").iterdir()}
    (tmp_path / "set" / manifest["shards"][1]["name"]).unlink()
    (tmp_path / "set" / "manifest.json").unlink()
    assert run(conditional, "5-24", tmp_path / "set", *flags) == 0
    assert {one.name: one.read_bytes() for one in (tmp_path / "set").iterdir()} == before


GARMENTS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def contents(path, kind):
    """Seed -> the bytes of its PNG, and its label."""
    if kind == "parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
        assert [row["image"]["path"] for row in rows] == [f"seed{row['seed']:010d}.png" for row in rows]
        return {row["seed"]: (row["image"]["bytes"], row["label"]) for row in rows}
    if kind == "zip":
        archive = zipfile.ZipFile(path)
        return {int(name[4:-4]): (archive.read(name), None) for name in archive.namelist()}
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    assert path.read_bytes() == tar_of(files)
    found = {}
    for name, content in files.items():
        if name.endswith(".png"):
            about = json.loads(files[name[:-4] + ".json"])
            assert int(files[name[:-4] + ".cls"]) == GARMENTS.index(about["label"])
            found[about["seed"]] = content, about["label"]
    return found


def tar_of(files):
    """What tarfile itself makes of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_labels_of_their_own_are_those_of_the_seeds(conditional, tmp_path):
    assert run(conditional, "0-99", tmp_path / "a.npz") == 0
    labels = np.load(tmp_path / "a.npz")["labels"]
    assert labels.tolist() == [inputs_of_seed(seed, InputSpec(100, classes=10)).label for seed in range(100)]


def test_a_killed_command_leaves_whole_shards_and_goes_on(conditional, tmp_path):
    flags = ["--seeds", "0-2999", "--format", "webdataset", "--shard-size", "100", "--threads", "1"]
    command = [sys.executable, "-m", "gan.sample", str(conditional.model), "--out", str(tmp_path / "killed"), *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while len(list((tmp_path / "killed").glob("shard-*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = {one: one.stat().st_mtime_ns for one in (tmp_path / "killed").glob("shard-*")}
    assert 3 <= len(made) < 30
    assert sample.main([str(conditional.model), "--out", str(tmp_path / "killed"), *flags]) == 0
    assert sample.main([str(conditional.model), "--out", str(tmp_path / "whole"), *flags]) == 0
    whole = {one.name: one.read_bytes() for one in (tmp_path / "whole").iterdir()}
    assert {one.name: one.read_bytes() for one in (tmp_path / "killed").iterdir() if not one.name.startswith(".")} == whole
    assert all(one.stat().st_mtime_ns == before for one, before in made.items())  # none was made twice


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label", "Hat"], "--label Hat: there is no such class; there is balanced, T-shirt/top"),
        (["--label", "10"], "--label 10: there is no such class"),
        (["--label", "1" * 5000], f"--label {'1' * 100}: there is no such class"),
        (["--truncation", "2"], "truncation must be over 0, and at most 1, not 2.0"),
        (["--truncation", "0"], "truncation must be over 0, and at most 1, not 0.0"),
        (["--scale", "1000"], "--scale 1000: 1,024,000,000 bytes of pixels are too many for one image"),
        (["--columns", "3"], "--columns is for a sheet"),
        (["--shard-size", "3"], "--shard-size is for shards"),
    ],
)
def test_flags_that_cannot_be(conditional, tmp_path, capsys, flags, message):
    assert run(conditional, "0-3", tmp_path / "images", *flags) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--scale", "--columns", "--threads", "--shard-size"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1" * 5000])
def test_counts_that_are_none(conditional, tmp_path, capsys, flag, value):
    with pytest.raises(SystemExit, match="2"):
        run(conditional, "0-3", tmp_path / "a.png", flag, value)
    assert f"argument {flag}: must be a whole number, 1 or more, not '{value[:100]}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_arguments_are_refused_with_a_reason(conditional, tmp_path, capsys):
    for model, seeds, reason in (
        (str(conditional.model), "3-1", "argument --seeds: 3-1: seeds go from 0 to 4294967295"),
        ("", "0-3", "argument model: is empty"),
    ):
        with pytest.raises(SystemExit, match="2"):
            sample.main([model, "--seeds", seeds, "--out", str(tmp_path / "x")])
        assert reason in capsys.readouterr().err


def test_places_that_cannot_be_written(conditional, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(conditional, "0-3", tmp_path / "file" / "images") == 1
    assert "cannot be used" in capsys.readouterr().err
    assert run(conditional, "0-3", tmp_path / "file" / "a.png") == 1
    assert "cannot be used" in capsys.readouterr().err
    (tmp_path / "folder.png").mkdir()
    assert run(conditional, "0-3", tmp_path / "folder.png") == 1
    assert "folder.png cannot be written" in capsys.readouterr().err
    assert run(conditional, "0-4294967295", tmp_path / "a.npz") == 1  # at once: no list of them is made
    assert "too many for one file" in capsys.readouterr().err
    assert run(conditional, "0-3", "nowhere://x/y") == 1
    assert "nowhere://x/y cannot be used" in capsys.readouterr().err
    assert sample.main([str(tmp_path / "none"), "--seeds", "1", "--out", str(tmp_path / "x")]) == 1
    assert "there is no model folder" in capsys.readouterr().err


def test_other_places_by_fsspec(conditional, tmp_path):
    import fsspec

    out = "memory://sampled"
    assert run(conditional, "0-9", out, "--format", "zip", "--shard-size", "5") == 0
    files = fsspec.filesystem("memory")
    assert {path.rpartition("/")[2] for path in files.ls("/sampled", detail=False)} == {
        *("set.json", "manifest.json", "shard-000000.zip", "shard-000001.zip"),
    }
    assert run(conditional, "0-9", tmp_path / "set", "--format", "zip", "--shard-size", "5") == 0
    assert files.cat_file("/sampled/shard-000001.zip") == (tmp_path / "set" / "shard-000001.zip").read_bytes()
    for one in ("one.npz", "one.png", "one.zip"):
        assert run(conditional, "0-9", f"{out}/{one}") == 0
        assert run(conditional, "0-9", tmp_path / one) == 0
        assert files.cat_file(f"/sampled/{one}") == (tmp_path / one).read_bytes()
    assert run(conditional, "0-9", f"file://{tmp_path}/as/address") == 0
    assert len(list((tmp_path / "as" / "address").glob("*.png"))) == 10
    assert Image.open(
        io.BytesIO(zipfile.ZipFile(io.BytesIO(files.cat_file("/sampled/shard-000000.zip"))).read("seed0000000000.png"))
    )
