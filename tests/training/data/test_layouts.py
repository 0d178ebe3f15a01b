"""Folders as people have them: which are classes, which are splits, and which count for nothing."""

import json
import os
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.privileges import as_ordinary_user
from tests.training.data.conftest import save
from training import data
from training.data.classes import arrange, natural
from training.errors import DataError

_CLASSES = ("cat", "dog")


def write(folder, names):
    """A small image of its own for each name."""
    for number, name in enumerate(names):
        save(folder / name, (number, 100, 0), (4, 4))


def pack(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def both(folder):
    """The folder and a zip file of it."""
    return folder, pack(folder, folder.with_suffix(".zip"))


def load(source, **options):
    return data.load(str(source), (4, 4), **{"labelled": True, **options})


def numbers(images):
    return sorted(images[:, 0, 0, 0].tolist())


@pytest.mark.parametrize(
    ("training", "test"),
    [
        ("train/", "test/"),
        ("Training/", "VAL/"),
        ("train2017/", "val2017/"),
        ("training_set/training_set/", "test_set/test_set/"),
        ("seg_train/seg_train/", "seg_test/seg_test/"),
        ("set/train/", "set/validation/"),
        ("outer/inner/train/", "outer/inner/dev/"),
        ("trainval/", "test/"),
        ("trn/", "tst/"),
    ],
)
def test_folders_for_training_and_testing_are_no_classes(tmp_path, training, test):
    names = [f"{side}{kind}/{n}.png" for side, count in ((training, 20), (test, 6)) for kind in _CLASSES for n in range(count)]
    write(tmp_path / "set", names)
    for source in both(tmp_path / "set"):
        dataset = load(source)
        assert dataset.classes == _CLASSES
        assert numbers(dataset.images) == list(range(40))
        assert numbers(dataset.held_out.images) == list(range(40, 52))
        assert (np.bincount(dataset.labels).tolist(), np.bincount(dataset.held_out.labels).tolist()) == ([20, 20], [6, 6])
        assert "12 images in folders for testing, which are not trained on" in dataset.notes
        found = data.survey(str(source))
        assert (found.count, found.classes) == (40, 2)
        assert len(load(source, labelled=False).held_out.images) == 12


def test_the_domains_of_cyclegans_sets_are_classes(tmp_path):
    sides = (("horse2zebra/train", 20), ("horse2zebra/test", 6))
    write(tmp_path / "set", [f"{side}{kind}/{n}.png" for side, count in sides for kind in "AB" for n in range(count)])
    for source in both(tmp_path / "set"):
        dataset = load(source)
        assert (dataset.classes, len(dataset.images), len(dataset.held_out.images)) == (("A", "B"), 40, 12)


def test_splits_may_lie_in_the_classes(tmp_path):
    write(tmp_path / "set", [f"{kind}/{side}/{n}.png" for kind in _CLASSES for side in ("train", "test") for n in range(10)])
    dataset = load(tmp_path / "set")
    assert (dataset.classes, len(dataset.images), len(dataset.held_out.images)) == (_CLASSES, 20, 20)


def test_images_for_testing_without_a_class_are_held_out_from_those_who_need_none(tmp_path):
    names = [f"train/{kind}/{n}.png" for kind in _CLASSES for n in range(20)]
    write(tmp_path / "set", [*names, *(f"test/{n}.png" for n in range(15)), *(f"test/cow/{n}.png" for n in range(15))])
    labelled = load(tmp_path / "set")
    assert (labelled.classes, len(labelled.images), labelled.held_out) == (_CLASSES, 40, None)
    assert len(load(tmp_path / "set", labelled=False).held_out.images) == 30


def test_of_too_few_images_for_testing_nothing_can_be_learned(tmp_path):
    write(tmp_path / "set", [*(f"train/{n}.png" for n in range(20)), *(f"test/{n}.png" for n in range(9))])
    dataset = load(tmp_path / "set", labelled=False)
    assert (len(dataset.images), dataset.held_out) == (20, None)


@pytest.mark.parametrize("training", ["train/", "train/images/"])
def test_a_class_that_alone_is_tested_is_no_folder_around_all(tmp_path, training):
    sides = ((f"{training}cat", 20), (f"{training}dog", 20), ("test/cat", 12))
    write(tmp_path / "set", [f"{folder}/{n}.png" for folder, count in sides for n in range(count)])
    for source in both(tmp_path / "set"):
        dataset = load(source)
        assert (dataset.classes, len(dataset.images)) == (_CLASSES, 40)
        assert dataset.held_out.labels.tolist() == [0] * 12


@pytest.mark.parametrize("beside", ["ground_truth/cat/1_mask.png", "set/train/cat/1.png", "sample.png"])
def test_what_lies_beside_folders_for_training_and_testing_is_neither(tmp_path, beside):
    names = [f"{side}/{kind}/{n}.png" for side in ("train", "test") for kind in _CLASSES for n in range(10)]
    write(tmp_path / "set", [*names, beside])
    dataset = load(tmp_path / "set")
    assert (dataset.classes, len(dataset.images), len(dataset.held_out.images)) == (_CLASSES, 20, 20)
    assert "passed over: 1 image beside the folders for training and testing" in dataset.notes
    assert data.survey(str(tmp_path / "set")).count == 20


def test_what_is_only_called_like_a_split_is_a_class(tmp_path):
    write(tmp_path / "set", [f"{kind}/{n}.png" for kind in ("train", "plane", "test") for n in range(10)])
    assert load(tmp_path / "set").classes == ("plane", "test", "train")
    write(tmp_path / "trains", [f"{kind}/{n}.png" for kind in ("steam_train", "crash_test") for n in range(10)])
    assert load(tmp_path / "trains").classes == ("crash_test", "steam_train")


@pytest.mark.parametrize("around", ["", "set/", "archive/set/"])
def test_folders_around_all_count_for_nothing(tmp_path, around):
    write(tmp_path / "set", [f"{around}{kind}/{n}.png" for kind in _CLASSES for n in range(3)])
    for source in both(tmp_path / "set"):
        assert load(source).classes == _CLASSES
        assert data.survey(str(source)).classes == 2


def test_one_class_is_none(tmp_path):
    write(tmp_path / "set", ["cat/1.png", "cat/2.png"])
    with pytest.raises(DataError, match=r"--conditional: .* at least two folders, one for each class"):
        load(tmp_path / "set")


def test_classes_are_in_natural_order(tmp_path):
    write(tmp_path / "set", [f"{number}/{n}.png" for number in range(12) for n in range(2)])
    dataset = load(tmp_path / "set")
    assert dataset.classes == tuple(str(number) for number in range(12))
    assert dataset.labels.tolist() == [
        0,
        0,
        1,
        1,
        10,
        10,
        11,
        11,
        *(n for n in range(2, 10) for _ in "ab"),
    ]  # in the order of files
    assert sorted(["b", "a10", "a9", "A", "10", "9", "09", "x1y"], key=natural) == ["09", "9", "10", "A", "a9", "a10", "b", "x1y"]


def test_class_names_are_composed_as_people_type_them(tmp_path):
    write(tmp_path / "set", [f"{unicodedata.normalize('NFD', 'Käse')}/1.png", "Brot/2.png", "Käse/3.png"])
    dataset = load(tmp_path / "set")
    assert dataset.classes == ("Brot", "Käse")
    assert np.bincount(dataset.labels).tolist() == [1, 2]


def test_names_with_commas_are_names(tmp_path):
    write(tmp_path / "set", ["Coat, red/1.png", "Hat/2.png"])
    assert load(tmp_path / "set").classes == ("Coat, red", "Hat")


def test_as_earlier_versions_had_it(tmp_path):
    decomposed = unicodedata.normalize("NFD", "ö")
    names = [*(str(number) for number in range(12)), decomposed]
    write(tmp_path / "set", [f"{name}/{n}.png" for name in names for n in range(2)])
    now = load(tmp_path / "set")
    plain = tuple(sorted(names))
    before = data.dataset.fingerprint(now.images, plain, np.repeat(np.arange(13), 2))
    then = now.as_fingerprinted(before, labelled=True)
    assert (then.classes, then.labels.tolist()) == (plain, np.repeat(np.arange(13), 2).tolist())
    assert now.as_fingerprinted("another", labelled=True) is now
    assert then.in_order(now.classes).labels.tolist() == now.labels.tolist()
    assert now.in_order(("a", "b")) is now


def test_grey_images_come_back_as_colours_for_earlier_runs(tmp_path):
    for n in range(3):
        save(tmp_path / "set" / f"{n}.png", (n, n, n))
    now = load(tmp_path / "set", labelled=False)
    assert now.images.shape == (3, 1, 4, 4)
    coloured = np.repeat(now.images, 3, axis=1)
    then = now.as_fingerprinted(data.dataset.fingerprint(coloured), labelled=False)
    assert np.array_equal(then.images, coloured)
    assert then.batch(seed=1, seen=0, size=2)[0].shape == (2, 3, 4, 4)


def test_a_run_without_labels_finds_its_images_among_labelled_ones(tmp_path):
    write(tmp_path / "set", [f"{kind}/{n}.png" for kind in _CLASSES for n in range(3)])
    labelled = load(tmp_path / "set")
    assert labelled.as_fingerprinted(load(tmp_path / "set", labelled=False).fingerprint, labelled=False) is labelled
    for path in sorted((tmp_path / "set").rglob("*.png")):
        Image.open(path).convert("L").convert("RGB").save(path)
    labelled = load(tmp_path / "set")
    coloured = np.repeat(labelled.images, 3, axis=1)
    then = labelled.as_fingerprinted(data.dataset.fingerprint(coloured), labelled=False)
    assert np.array_equal(then.images, coloured)
    assert then.labels.tolist() == labelled.labels.tolist()


def stylegan(folder, labels, around=""):
    names = [f"0000{n // 4}/img0000000{n}.png" for n in range(8)]
    write(folder, [around + name for name in names])
    pairs = None if labels is None else [[name, label] for name, label in zip(names, labels, strict=True)]
    (folder / around / "dataset.json").write_text(json.dumps({"labels": pairs}))


@pytest.mark.parametrize("around", ["", "set/"])
def test_labels_of_stylegans_sets_are_read(tmp_path, around):
    stylegan(tmp_path / "set", [10, 2, 2, 0, 0, 2, 10, 10], around)
    for source in both(tmp_path / "set"):
        dataset = load(source)
        assert dataset.classes == ("0", "2", "10")
        assert dataset.labels.tolist() == [2, 1, 1, 0, 0, 1, 2, 2]
        assert any(note.startswith("labels from") and "dataset.json" in note for note in dataset.notes)
        assert not any(note.startswith("passed over") for note in dataset.notes)
        assert data.survey(str(source)).classes == 3


def test_their_shards_are_no_classes(tmp_path):
    stylegan(tmp_path / "set", None)
    for source in both(tmp_path / "set"):
        with pytest.raises(
            DataError, match=r"--conditional: .* needs a label for every image, and dataset\.json has none for 00000/"
        ):
            load(source)
        assert data.survey(str(source)).classes is None
        assert len(load(source, labelled=False).images) == 8


def test_labels_may_be_lists_with_one_1(tmp_path):
    stylegan(tmp_path / "set", [[0, 1], [1, 0]] * 4)
    assert load(tmp_path / "set").labels.tolist() == [1, 0] * 4
    stylegan(tmp_path / "set", [[0.5, 1.5]] * 8)
    with pytest.raises(DataError, match=r"cannot go by dataset\.json: its label .* is neither a word nor a number"):
        load(tmp_path / "set")


@pytest.mark.parametrize("split", ["", "train/"])
def test_labels_of_hugging_face_are_read(tmp_path, split):
    names = [f"{n}.png" for n in range(24)]
    write(tmp_path / "set", [split + name for name in names])
    rows = [{"file_name": name, "label": "cat" if n % 3 else "dog", "text": "a\u2028line"} for n, name in enumerate(names)]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "set" / split / "metadata.jsonl").write_text(lines, "utf-8")
    if split:
        write(tmp_path / "set" / "test", names[:12])
        (tmp_path / "set" / "test" / "metadata.csv").write_text("file_name,label\r\n" + "".join(f"{n},dog\r\n" for n in names[:12]))
    dataset = load(tmp_path / "set")
    assert dataset.classes == ("cat", "dog")
    wanted = {f"{n}.png": int(n % 3 == 0) for n in range(24)}
    assert dataset.labels.tolist() == [wanted[name] for name in sorted(names)]
    assert (dataset.held_out.labels.tolist() if split else None) == ([1] * 12 if split else None)


def test_captions_are_no_labels(tmp_path):
    write(tmp_path / "set", [f"{kind}/{n}.png" for kind in _CLASSES for n in range(3)])
    (tmp_path / "set" / "metadata.csv").write_text("file_name,text\ncat/1.png,a cat\n")
    (tmp_path / "set" / "dataset.json").write_text('["of another kind"]')
    assert load(tmp_path / "set").classes == _CLASSES


def table(header, separator=",", labels=("cat", "dog"), encoding="utf-8"):
    rows = [header, *([f"{n}.png", labels[n % 2]] for n in range(6))]
    return "".join(separator.join(row) + "\n" for row in rows).encode(encoding)


@pytest.mark.parametrize(
    "content",
    [
        table(["file_name", "label"], ";"),
        table(["file_name", "label"], "\t"),
        table(["file_name", "label"], ", "),
        table(["File_Name", "Label"]),
        table(["file_name", "label"], encoding="utf-16"),  # as Excel and PowerShell write it
    ],
)
def test_tables_are_read_as_other_programs_write_them(tmp_path, content):
    write(tmp_path / "set", [f"{n}.png" for n in range(6)])
    (tmp_path / "set" / "metadata.csv").write_bytes(content)
    assert load(tmp_path / "set").classes == _CLASSES


def test_a_table_in_another_encoding_is_told_which_would_do(tmp_path):
    write(tmp_path / "set", [f"{n}.png" for n in range(6)])
    (tmp_path / "set" / "metadata.csv").write_bytes(table(["file_name", "label"], labels=("Öl", "Käse"), encoding="cp1252"))
    with pytest.raises(DataError, match=r"metadata\.csv is damaged \(it is not UTF-8; save it as UTF-8\)"):
        load(tmp_path / "set")


def test_whole_numbers_with_a_point_are_whole_numbers(tmp_path):
    write(tmp_path / "set", [f"{n}.png" for n in range(6)])
    (tmp_path / "set" / "metadata.csv").write_bytes(table(["file_name", "label"], labels=("0.0", "1.0")))
    assert load(tmp_path / "set").classes == ("0", "1")


@pytest.mark.parametrize("label", [[0.25, -1.5, 3], [1, 1, 0], {"box": [1, 2]}])
def test_labels_that_are_no_classes_hinder_only_those_who_want_classes(tmp_path, label):
    write(tmp_path / "set", [f"{n}.png" for n in range(6)])
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": [[f"{n}.png", label] for n in range(6)]}))
    assert len(load(tmp_path / "set", labelled=False).images) == 6
    with pytest.raises(DataError, match=r"--conditional: .*dataset\.json.* is neither a word nor a number"):
        load(tmp_path / "set")


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path / "set", ["1.png"])
    (tmp_path / "set" / "metadata.csv").write_text("file_name,label\n1.png," + "a" * 200_000)
    with pytest.raises(DataError, match=r"metadata\.csv is damaged \(field larger"):
        load(tmp_path / "set")


def test_a_table_without_known_columns_is_named_to_those_who_want_classes(tmp_path):
    write(tmp_path / "set", [f"{n}.png" for n in range(6)])
    (tmp_path / "set" / "metadata.csv").write_bytes(table(["file_name", "species"]))
    with pytest.raises(DataError, match=r"metadata\.csv has no column label"):
        load(tmp_path / "set")


def test_damaged_labels_are_named(tmp_path):
    write(tmp_path / "set", ["1.png"])
    (tmp_path / "set" / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json is damaged \(.*\); repair it, or remove it to go by folders"):
        load(tmp_path / "set")


def test_other_labels_are_another_set(tmp_path):
    stylegan(tmp_path / "set", [0, 1] * 4)
    first = load(tmp_path / "set")
    stylegan(tmp_path / "set", [1, 0] * 4)
    assert load(tmp_path / "set").labels.tolist() == (1 - first.labels).tolist()


def test_links_to_folders_are_followed(tmp_path):
    write(tmp_path / "store", [f"{kind}/{n}.png" for kind in ("cats", "dogs") for n in range(3)])
    (tmp_path / "set").mkdir()
    for kind in _CLASSES:
        (tmp_path / "set" / kind).symlink_to(tmp_path / "store" / f"{kind}s")
    dataset = load(tmp_path / "set")
    assert (dataset.classes, len(dataset.images)) == (_CLASSES, 6)
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert load(tmp_path / "link").classes == _CLASSES


def test_links_in_circles_end_and_each_folder_counts_once(tmp_path):
    write(tmp_path / "set", ["a/1.png", "b/2.png"])
    for link, target in (("a/up", "."), ("a/other", "b"), ("b/other", "a"), ("a/out", ".."), ("c", "b")):
        (tmp_path / "set" / link).symlink_to((tmp_path / "set" / target).resolve())
    (tmp_path / "set" / "gone").symlink_to(tmp_path / "nowhere")
    dataset = load(tmp_path / "set")
    assert (dataset.classes, len(dataset.images)) == (("a", "b"), 2)
    assert "passed over: 5 links to folders that are read already, 1 link to nothing" in dataset.notes


def test_links_to_themselves_are_passed_over(tmp_path):
    write(tmp_path / "set", ["a/1.png", "b/1.png"])
    (tmp_path / "set" / "loop").symlink_to("loop")
    assert any("1 link to nothing" in note for note in load(tmp_path / "set").notes)


def test_of_two_links_to_one_folder_the_first_counts(tmp_path):
    write(tmp_path / "store", ["1.png", "2.png"])
    (tmp_path / "set").mkdir()
    for name in "ba":
        (tmp_path / "set" / name).symlink_to(tmp_path / "store")
    write(tmp_path / "set", ["c/3.png"])
    assert load(tmp_path / "set").classes == ("a", "c")


def test_many_folders_that_link_to_each_other_take_no_longer(tmp_path):
    for one in range(30):
        write(tmp_path / "set", [f"{one}/1.png"])
        for other in range(30):
            (tmp_path / "set" / str(one) / f"to{other}").symlink_to(tmp_path / "set" / str(other))
    assert len(load(tmp_path / "set").images) == 30


def test_links_in_a_zip_file_are_passed_over(tmp_path):
    write(tmp_path / "set", ["1.png"])
    packed = pack(tmp_path / "set", tmp_path / "set.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        link = zipfile.ZipInfo("2.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "1.png")
    dataset = load(packed, labelled=False)
    assert (len(dataset.images), dataset.skipped) == (1, ())
    assert any("1 link without content in a zip file" in note for note in dataset.notes)


@pytest.mark.parametrize(
    "name", ["@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "#recycle", "System Volume Information", "~snapshot"]
)
def test_what_systems_leave_is_passed_over(tmp_path, name):
    write(tmp_path / "set", ["a/1.png", "b/2.png", f"{name}/1.png/SYNOPHOTO_THUMB_M.jpg", f"a/{name}/2.jpg"])
    for source in both(tmp_path / "set"):
        dataset = load(source)
        assert (dataset.classes, len(dataset.images)) == (("a", "b"), 2)
        assert f"passed over: 2 folders {name}" in dataset.notes


def test_what_systems_leave_need_not_be_readable(tmp_path):
    write(tmp_path / "set", ["1.png"])
    (tmp_path / "set" / "lost+found").mkdir(mode=0)
    with as_ordinary_user():
        assert len(load(tmp_path / "set", labelled=False).images) == 1


@pytest.mark.parametrize("mode", [0, 0o444, 0o111])  # neither, names without what they name, and the other way round
@pytest.mark.parametrize("place", ["set", "set/b"])
def test_a_folder_that_may_not_be_read_is_named(tmp_path, place, mode):
    write(tmp_path / "set", ["a/1.png", "b/2.png"])
    (tmp_path / place).chmod(mode)
    with as_ordinary_user(), pytest.raises(DataError, match=rf"{place}.*\(?Permission denied\)?; allow it, or give another"):
        load(tmp_path / "set")


def test_a_zip_file_that_may_not_be_read_is_not_called_damaged(tmp_path):
    write(tmp_path / "set", ["1.png"])
    packed = pack(tmp_path / "set", tmp_path / "set.zip")
    packed.chmod(0)
    with as_ordinary_user(), pytest.raises(DataError, match=r"it cannot be read \(Permission denied\); allow it"):
        load(packed, labelled=False)


def test_what_is_neither_file_nor_folder_is_counted(tmp_path):
    write(tmp_path / "set", ["1.png"])
    os.mkfifo(tmp_path / "set" / "2.png")
    (tmp_path / "set" / "3.png").symlink_to("/dev/zero")
    assert "passed over: 2 pipes, sockets and devices" in load(tmp_path / "set", labelled=False).notes


def test_places_are_told_by_names_alone():
    assert [place.label for place in arrange([("x", "a", "1"), ("x", "b", "2")])] == ["a", "b"]
    assert [place.held_out for place in arrange([("train", "1"), ("test", "2")])] == [False, True]
    assert [place.held_out for place in arrange([("test", "1"), ("val", "2")])] == [None, None]
    assert arrange([]) == []


def test_images_are_said_to_be_copies(tmp_path):
    write(tmp_path / "set", [f"{n}.png" for n in range(5)])
    for n in (5, 6):
        (tmp_path / "set" / f"{n}.png").write_bytes((tmp_path / "set" / "0.png").read_bytes())
    Image.open(tmp_path / "set" / "1.png").save(tmp_path / "set" / "7.bmp")
    assert "3 of 8 are copies of others" in load(tmp_path / "set", labelled=False).notes
