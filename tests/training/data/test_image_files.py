import hashlib
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.training.data.conftest import save
from tests.training.data.mixed import CLASSES, DAMAGED, EMOJI, write_mixed
from training import data
from training.errors import DataError


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "mixed"
    write_mixed(folder)
    return folder


def pack(folder, target, prefix=""):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name, colour in [("b/1.png", "red"), ("a/2.JPG", "blue"), ("c.webp", "lime")]:
        save(tmp_path / "My Images!" / name, colour)
    (tmp_path / "My Images!" / "notes.txt").write_text("not an image")
    dataset = data.load(str(tmp_path / "My Images!"), (16, 16))
    assert (dataset.name, dataset.licence) == ("my-images", "that of the images it was trained on")
    assert dataset.images.shape == (3, 3, 16, 16)
    assert [int(channels.argmax()) for channels in dataset.images.mean((2, 3))] == [2, 0, 1]


def test_neither_the_file_system_nor_the_clock_changes_the_set(tmp_path, monkeypatch, cache):
    for number, place in enumerate(("one", "two")):
        names = [f"{folder}/{file}.png" for folder in "bca" for file in "312"]
        for name in names if number else reversed(names):
            save(tmp_path / place / name, (ord(name[0]), ord(name[2]), 0))
            os.utime(tmp_path / place / name, (number, number))
    one = data.load(str(tmp_path / "one"), (16, 16), labelled=True)
    # Another machine: without this one's cache, and its folders listed backwards
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    listed = os.scandir

    class Backwards:
        def __init__(self, *arguments):
            with listed(*arguments) as entries:
                self.entries = iter(list(entries)[::-1])

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def close(self):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    two = data.load(str(tmp_path / "two"), (16, 16), labelled=True)
    assert np.array_equal(one.images, two.images)
    assert one.images[:, 0, 0, 0].tolist() == [ord(letter) for letter in "aaabbbccc"]
    assert one.fingerprint == two.fingerprint == data.Dataset("x", one.images, "", one.classes, one.labels).fingerprint


def test_hidden_files_and_folders_called_like_images_are_passed_over(tmp_path):
    save(tmp_path / "a.png", "red")
    (tmp_path / "._a.png").write_bytes(b"what some systems put beside it")
    (tmp_path / "b.png").mkdir()
    save(tmp_path / ".thumbnails" / "a.png", "blue")
    save(tmp_path / "__MACOSX" / "a.png", "blue")
    assert data.load(str(tmp_path), (16, 16)).images[:, :, 0, 0].tolist() == [[255, 0, 0]]


def test_the_folders_of_a_folder_become_labels(tmp_path):
    for name in ("boots/1.png", "boots/deep/2.png", "hats/3.png"):
        save(tmp_path / name, "red")
    labelled = data.load(str(tmp_path), (16, 16), labelled=True)
    assert labelled.classes == ("boots", "hats")
    assert labelled.labels.tolist() == [0, 0, 1]
    assert labelled.fingerprint != data.load(str(tmp_path), (16, 16)).fingerprint
    save(tmp_path / "4.png", "red")
    with pytest.raises(DataError, match=r"--conditional: .* at least two folders, one for each class, and no images beside them"):
        data.load(str(tmp_path), (16, 16), labelled=True)


def test_a_class_without_a_whole_image_is_none(tmp_path):
    save(tmp_path / "boots" / "1.png", "red")
    (tmp_path / "hats").mkdir()
    (tmp_path / "hats" / "2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"--conditional: .* at least two folders"):
        data.load(str(tmp_path), (16, 16), labelled=True, max_bad=0.5)


def test_few_broken_files_are_skipped_and_named(tmp_path):
    for number in range(100):
        save(tmp_path / f"{number:03d}.png", "red")
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "100.png").write_bytes(whole[: len(whole) // 2])
    dataset = data.load(str(tmp_path), (16, 16))
    assert len(dataset.images) == 100
    assert any(note.startswith("skipped 100.png") for note in dataset.notes)
    (tmp_path / "101.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2 of 102 files cannot be decoded.*0\.01 that --max-bad allows.*100.png.*101.png"):
        data.load(str(tmp_path), (16, 16))


def test_all_broken_files_are_listed_and_five_of_them_noted(tmp_path):
    for number in range(8):
        save(tmp_path / f"{number}.png", "red")
        (tmp_path / f"bad{number}.png").write_bytes(b"")
    dataset = data.load(str(tmp_path), (16, 16), max_bad=0.5)
    assert dataset.skipped == tuple(f"bad{number}.png (it is empty)" for number in range(8))
    assert [note for note in dataset.notes if note.startswith("skipped")] == [
        *(f"skipped bad{number}.png (it is empty)" for number in range(5)),
        "skipped 3 more files",
    ]


def test_real_images_of_all_kinds_with_five_damaged_files(mixed):
    dataset = data.load(str(mixed), (64, 64), labelled=True, max_bad=0.05)
    assert tuple(reason.partition(" (")[0] for reason in dataset.skipped) == DAMAGED
    assert dataset.classes == CLASSES
    apart = 0 if dataset.held_out is None else len(dataset.held_out.images)
    assert dataset.images.shape == (300 - apart, 3, 64, 64)
    with pytest.raises(DataError, match=r"5 of 305 files cannot be decoded, more than the share of 0\.01 that --max-bad allows"):
        data.load(str(mixed), (64, 64))
    # Whatever an image was saved as, it looks the same: the means of its channels, or of all three where it lost its colour.
    originals = data.load(str(EMOJI), (64, 64))
    everything = [np.concatenate([*([] if d.held_out is None else [d.held_out.images]), d.images]) for d in (dataset, originals)]
    levels = [np.sort(images.mean((1, 2, 3))) for images in everything]
    assert np.abs(levels[0] - levels[1]).mean() < 3


def test_a_zip_file_is_the_folder_in_it(mixed, tmp_path):
    packed = pack(mixed, tmp_path / "mixed.zip")
    folder, archive = (data.load(str(source), (32, 32), labelled=True, max_bad=0.05) for source in (mixed, packed))
    assert archive.name == folder.name == "mixed"
    assert archive.fingerprint == folder.fingerprint
    assert np.array_equal(archive.images, folder.images)
    assert archive.labels.tolist() == folder.labels.tolist()
    assert archive.skipped == folder.skipped
    assert data.survey(str(packed)) == data.survey(str(mixed))


def test_a_zip_file_may_hold_a_folder_around_all_and_what_systems_add(tmp_path):
    for name in ("boots/1.png", "hats/2.png"):
        save(tmp_path / "in" / name, "red")
    save(tmp_path / "in" / ".hidden" / "1.png", "blue")
    packed = pack(tmp_path / "in", tmp_path / "x.zip", "shoes/")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("__MACOSX/shoes/boots/1.png", b"no image")
        archive.writestr("shoes/boots/._1.png", b"no image")
    labelled = data.load(str(packed), (16, 16), labelled=True)
    assert (labelled.classes, len(labelled.images)) == (("boots", "hats"), 2)


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "..\\a.png"])
def test_zip_files_that_name_files_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", b"")
        archive.writestr(name, b"")
    with pytest.raises(DataError, match="names a file outside itself"):
        data.load(str(tmp_path / "a.zip"), (16, 16))


def test_damaged_zip_files_are_named(tmp_path):
    save(tmp_path / "in" / "1.png", "red")
    save(tmp_path / "in" / "2.png", "blue", size=(200, 200))
    packed = pack(tmp_path / "in", tmp_path / "a.zip")
    content = bytearray(packed.read_bytes())
    start = zipfile.ZipFile(packed).getinfo("2.png").header_offset + 30 + len("2.png")  # of what is packed
    content[start : start + 3] = b"\xff\xff\xff"
    packed.write_bytes(content)
    dataset = data.load(str(packed), (16, 16), max_bad=0.5)
    assert dataset.skipped[0].startswith("2.png (the zip file is damaged there")
    for damaged in (bytes(content[:50]), b"", b"text"):
        packed.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.zip: this is no zip file, or a damaged one"):
            data.load(str(packed), (16, 16))


def test_encrypted_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", b"12345")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"1\.png is encrypted; pack it again without a password"):
        data.load(str(tmp_path / "a.zip"), (16, 16))


def test_members_that_unpack_to_more_than_memory_are_not_read(tmp_path, monkeypatch):
    save(tmp_path / "in" / "1.png", "red")
    (tmp_path / "in" / "2.png").write_bytes(bytes(100_000))
    packed = pack(tmp_path / "in", tmp_path / "a.zip")
    monkeypatch.setattr("training.data.listing._LARGEST", 50_000)
    for source in (packed, tmp_path / "in"):
        dataset = data.load(str(source), (16, 16), max_bad=0.5)
        assert dataset.skipped == ("2.png (it has 100,000 bytes, more than 50,000)",)


def test_what_is_no_source_is_said(tmp_path):
    with pytest.raises(DataError, match=r"--data .*nowhere: there is no such folder; give a folder or a zip file.*fashion-mnist"):
        data.load(str(tmp_path / "nowhere"), (32, 32))
    with pytest.raises(DataError, match="no images there; it needs files that end in"):
        data.load(str(tmp_path), (32, 32))
    with pytest.raises(DataError, match="no images there"):
        data.survey(str(tmp_path))


def test_names_that_are_not_text_are_spelled_out(tmp_path):
    save(tmp_path / "a.png", "red")
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"")
    dataset = data.load(str(tmp_path), (16, 16), max_bad=0.5)
    assert dataset.skipped == ("\\udcff.png (it is empty)",)
    "".join(dataset.notes).encode()


def test_folders_whose_names_are_not_text_are_classes(tmp_path):
    folder = tmp_path / os.fsdecode(b"s\xe9t")
    for name in (b"caf\xe9", b"tea"):
        for n in range(3):
            save(folder / os.fsdecode(name) / f"{n}.png", (n, 99, len(name)))
    dataset = data.load(str(folder), (16, 16), labelled=True)
    assert dataset.classes == ("caf\\udce9", "tea")
    assert any("rename" in note for note in dataset.notes)


@pytest.mark.parametrize("source", ["x" * 5000, "x" * 300 + "/y"])
def test_a_name_that_no_file_can_have_is_no_source(source):
    with pytest.raises(DataError, match=r"--data xxx.*: it cannot be read \(File name too long\)"):
        data.load(source, (16, 16))


def test_what_is_held_out_is_decided_by_content(tmp_path):
    random = np.random.default_rng(0)
    expected = 0
    for number in range(400):
        path = tmp_path / "a" / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).save(path)
        expected += int(hashlib.sha256(path.read_bytes()).hexdigest(), 16) % 20 == 0
    before = data.load(str(tmp_path / "a"), (4, 4))
    assert 10 <= expected == len(before.held_out.images)
    assert len(before.images) == 400 - expected
    assert any(note == f"{expected} of them held out" for note in before.notes)
    trained, apart = ({image.tobytes() for image in images} for images in (before.images, before.held_out.images))
    assert not trained & apart
    # Other names, and a copy of each: they stay on their sides.
    for path in sorted((tmp_path / "a").iterdir()):
        for copy in ("b", "c"):
            (tmp_path / "b" / copy).mkdir(parents=True, exist_ok=True)
            (tmp_path / "b" / copy / f"{path.stem[::-1]}.png").write_bytes(path.read_bytes())
    after = data.load(str(tmp_path / "b"), (4, 4), labelled=True)
    assert {image.tobytes() for image in after.held_out.images} == apart
    assert {image.tobytes() for image in after.images} == trained
    assert np.bincount(after.held_out.labels).tolist() == [expected, expected]
    assert np.bincount(after.labels).tolist() == [400 - expected] * 2


def test_small_sets_keep_all_and_large_ones_hold_out_so_many():
    from training.data.split import held_out_indices

    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(50_000)]
    chosen = held_out_indices(digests[:400])
    assert chosen == [place for place, digest in enumerate(digests[:400]) if int(digest.hex(), 16) % 20 == 0]
    few, others = [digests[place] for place in chosen[:10]], [digest for digest in digests[:400] if digest[-1] % 4]
    assert held_out_indices([*few, *others[:190]]) == list(range(10))
    assert held_out_indices([*few, *others[:189]]) == []  # of 199
    assert held_out_indices([*few[1:], *others]) == []  # no more than nine
    chosen = held_out_indices(digests)
    assert (len(chosen), chosen) == (2000, sorted(chosen))
    # At the limit too the content decides, not the order.
    assert {digests[place] for place in chosen} == {digests[::-1][place] for place in held_out_indices(digests[::-1])}


def test_no_class_gives_more_than_a_quarter_of_its_images():
    from training.data.split import held_out_indices

    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(4000)]
    chosen = held_out_indices(digests)
    assert held_out_indices(digests, ["a"] * 4000) == chosen  # what is large enough is held out as before
    for size in (1, 2, 3, 4, 8, 20):
        labels = [str(number // size) for number in range(4000)]
        within = held_out_indices(digests, labels)
        assert set(within) <= set(chosen)
        counts = np.bincount([int(labels[place]) for place in within], minlength=4000 // size)
        assert counts.max(initial=0) <= size // 4
        assert bool(within) == (size >= 4)
    # All copies of an image on one side, even where one of their classes is too small to spare its own.
    twice = [*digests, *digests]
    labels = [*("large" for _ in digests), *(str(number // 5) for number in range(4000))]
    within = held_out_indices(twice, labels)
    assert within
    assert {place % 4000 for place in within if place < 4000} == {place - 4000 for place in within if place >= 4000}


def test_no_class_loses_its_only_image(tmp_path):
    for number in range(300):
        save(tmp_path / str(number) / "1.png", (number % 256, number // 256, 99), (4, 4))
    dataset = data.load(str(tmp_path), (4, 4), labelled=True)
    assert np.bincount(dataset.labels).tolist() == [1] * 300
    assert dataset.held_out is None
    said = "300 of 300 classes have under 10 images, too few to learn them from: 0 (1), 1 (1), 2 (1), 3 (1), 4 (1), …"
    assert said in dataset.notes
    first = ", ".join(f"{number} 1" for number in range(30))
    assert f"300 classes: {first} and 270 more" in dataset.notes


def test_classes_are_listed_with_their_counts_and_a_dominant_one_is_pointed_out(tmp_path):
    for place in range(60):
        save(tmp_path / ("people" if place % 3 else "flags" if place % 2 else "food") / f"{place}.png", (place, 9, 99), (4, 4))
    notes = data.load(str(tmp_path), (4, 4), labelled=True).notes
    assert "3 classes: flags 10, food 10, people 40" in notes
    assert any(note.startswith("67% of the images are people, and seeds draw every class equally often") for note in notes)
    notes = data.load(str(tmp_path), (4, 4)).notes
    assert not any("classes" in note or "people" in note for note in notes)
    assert "only 60 images to learn from: so few are learned by heart; some hundreds more would help" in notes


def test_equal_images_are_said_to_be_so(tmp_path):
    for number in range(20):
        save(tmp_path / f"{number}.png", "red")
    dataset = data.load(str(tmp_path), (16, 16))
    assert dataset.is_one_image
    assert "all are the same image" in dataset.notes
    save(tmp_path / "20.png", "blue")
    dataset = data.load(str(tmp_path), (16, 16))
    assert not dataset.is_one_image
    assert "19 of 21 are copies of others" in dataset.notes
