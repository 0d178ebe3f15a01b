import gzip

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMALL_DATA
from training import data
from training.data import DataError, Dataset


@pytest.fixture(scope="module")
def small():
    return data.load(str(SMALL_DATA), 32)


def save(path, colour, size=(20, 20), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_fashion_mnist_is_padded_in_the_middle(small):
    raw = np.frombuffer(gzip.decompress((SMALL_DATA / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    assert small.pictures.shape == (512, 1, 32, 32)
    assert np.array_equal(small.pictures[:, 0, 2:30, 2:30], raw.reshape(512, 28, 28))
    assert small.pictures.sum() == raw.sum()
    assert (small.name, small.licence) == ("fashion-mnist", "MIT (Fashion-MNIST, Zalando SE)")


def test_the_fingerprint_is_that_of_the_pixels(small):
    assert small.fingerprint == data.load(str(SMALL_DATA), 32).fingerprint
    changed = small.pictures.copy()
    changed[0, 0, 0, 0] ^= 1
    assert Dataset("x", changed, "").fingerprint != small.fingerprint


def test_every_round_shows_every_picture_once_in_an_order_of_its_own():
    dataset = Dataset("x", np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), "")
    stream = np.concatenate([dataset.batch(seed=1, seen=seen, size=4)[0] for seen in range(0, 40, 4)]).ravel()
    rounds = [stream[start : start + 10].tolist() for start in range(0, 40, 10)]
    assert all(sorted(order) == list(range(10)) for order in rounds)
    assert len({tuple(order) for order in rounds}) == 4
    # A pure function of where it stands: no matter in which steps one got there.
    assert np.array_equal(dataset.batch(seed=1, seen=7, size=20)[0].ravel(), stream[7:27])
    assert not np.array_equal(dataset.batch(seed=2, seen=0, size=10)[0].ravel(), stream[:10])


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name, colour in [("b/1.png", "red"), ("a/2.JPG", "blue"), ("c.webp", "lime")]:
        save(tmp_path / "My Pictures!" / name, colour)
    (tmp_path / "My Pictures!" / "notes.txt").write_text("not a picture")
    dataset = data.load(str(tmp_path / "My Pictures!"), 16)
    assert dataset.name == "my-pictures"
    assert dataset.pictures.shape == (3, 3, 16, 16)
    assert [int(channels.argmax()) for channels in dataset.pictures.mean((2, 3))] == [2, 0, 1]


@pytest.mark.parametrize(("mode", "colour"), [("L", 77), ("1", 1), ("LA", (77, 255)), ("I;16", 77 * 256)])
def test_grey_folders_stay_grey(tmp_path, mode, colour):
    save(tmp_path / "a.png", colour, mode=mode)
    assert np.unique(data.load(str(tmp_path), 16).pictures).tolist() == [255 if mode == "1" else 77]
    assert data.load(str(tmp_path), 16).pictures.shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("RGBA", (255, 0, 0, 255), [255, 0, 0]), ("RGBA", (255, 0, 0, 0), [255, 255, 255]), ("P", 0, [0, 0, 0])],
)
def test_palettes_and_alpha_become_colours(tmp_path, mode, colour, expected):
    save(tmp_path / "a.png", colour, mode=mode)
    assert data.load(str(tmp_path), 16).pictures[0, :, 8, 8].tolist() == expected


def test_cmyk_becomes_rgb(tmp_path):
    save(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK")
    red, green, blue = data.load(str(tmp_path), 16).pictures[0, :, 8, 8].tolist()
    assert red > 200
    assert max(green, blue) < 60


def test_orientation_is_obeyed_and_the_middle_is_cut_out(tmp_path):
    image = Image.new("RGB", (60, 20), "blue")
    image.paste("red", (20, 0, 40, 10))  # top half of the middle square
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    picture = data.load(str(tmp_path), 16).pictures[0]
    assert picture[:, 2, 8].tolist() == [0, 0, 255]
    assert picture[:, 13, 8].tolist() == [255, 0, 0]


def test_few_broken_files_are_skipped_and_named(tmp_path):
    for number in range(100):
        save(tmp_path / f"{number:03d}.png", "red")
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "100.png").write_bytes(whole[: len(whole) // 2])
    dataset = data.load(str(tmp_path), 16)
    assert len(dataset.pictures) == 100
    assert any(note.startswith("skipped 100.png") for note in dataset.notes)
    (tmp_path / "101.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2 of 102 files cannot be decoded.*100.png.*101.png"):
        data.load(str(tmp_path), 16)


def test_what_cannot_be_trained_on_is_said(tmp_path):
    with pytest.raises(DataError, match=r"--data .*nowhere: there is no such folder"):
        data.load(str(tmp_path / "nowhere"), 32)
    with pytest.raises(DataError, match="no pictures there; it needs files that end in"):
        data.load(str(tmp_path), 32)
    with pytest.raises(DataError, match="--resolution 16 is smaller than Fashion-MNIST's 28x28"):
        data.load(str(SMALL_DATA), 16)
    whole = (SMALL_DATA / "train-images-idx3-ubyte.gz").read_bytes()
    empty = gzip.compress(bytes([0, 0, 8, 3, *[0] * 12]))
    for content in (b"damaged", whole[:1000], whole[:20] + b"\xff" + whole[21:], empty):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged"):
            data.load(str(tmp_path), 32)


def test_hidden_files_and_folders_called_like_pictures_are_passed_over(tmp_path):
    save(tmp_path / "a.png", "red")
    (tmp_path / "._a.png").write_bytes(b"what some systems put beside it")
    (tmp_path / "b.png").mkdir()
    assert len(data.load(str(tmp_path), 16).pictures) == 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pictures_without_a_fixed_white_are_broken(tmp_path, mode):
    Image.new(mode, (20, 20), 200).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif \(it has 32 bits for each pixel and no fixed white"):
        data.load(str(tmp_path), 16)


def test_fashion_mnist_is_downloaded_where_it_is_not_installed(tmp_path, monkeypatch):
    import torchvision.datasets

    def download(root, download):
        raw = tmp_path / "cache" / "FashionMNIST" / "raw"
        assert (root, download) == (str(tmp_path / "cache"), True)
        raw.mkdir(parents=True)
        (raw / "train-images-idx3-ubyte.gz").write_bytes((SMALL_DATA / "train-images-idx3-ubyte.gz").read_bytes())

    monkeypatch.setattr(data, "_DEBIAN_PACKAGE", tmp_path / "not-installed")
    monkeypatch.setattr(data, "_DOWNLOADS", tmp_path / "cache")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    assert len(data.load("fashion-mnist", 32).pictures) == 512


def test_without_a_network_the_remedy_is_said(tmp_path, monkeypatch):
    import torchvision.datasets

    def download(root, download):
        raise RuntimeError("no network")

    monkeypatch.setattr(data, "_DEBIAN_PACKAGE", tmp_path / "not-installed")
    monkeypatch.setattr(data, "_DOWNLOADS", tmp_path / "cache")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    with pytest.raises(DataError, match="could not be downloaded \\(no network\\); install Debian's package dataset-fashion-mnist"):
        data.load("fashion-mnist", 32)


def test_fashion_mnist_has_labels_where_they_are_asked_for(small):
    labelled = data.load(str(SMALL_DATA), 32, labelled=True)
    assert small.labels is None
    assert labelled.classes[8:] == ("Bag", "Ankle boot")
    assert labelled.labels.shape == (512,)
    # Trousers stand, bags lie: the labels belong to these pictures in this order.
    heights, widths = (labelled.pictures[:, 0].any(axis).sum(1) for axis in (2, 1))
    ratios = [(heights / widths)[labelled.labels == label].mean() for label in (1, 7)]
    assert ratios[0] > 1.5 > 1 > ratios[1]
    pictures, labels = labelled.batch(seed=1, seen=7, size=20)
    places = [int((labelled.pictures == picture).all((1, 2, 3)).argmax()) for picture in pictures]
    assert labels.tolist() == labelled.labels[places].tolist()
    assert labelled.fingerprint != small.fingerprint


def test_labels_that_do_not_fit_are_refused(tmp_path):
    for file in SMALL_DATA.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x01" + (3).to_bytes(4, "big") + b"\x00\x01\x02"))
    with pytest.raises(DataError, match=f"{path.name} does not fit"):
        data.load(str(tmp_path), 32, labelled=True)
    data.load(str(tmp_path), 32)


def test_the_folders_of_a_folder_become_labels(tmp_path):
    for name in ("boots/1.png", "boots/deep/2.png", "hats/3.png"):
        save(tmp_path / name, "red")
    labelled = data.load(str(tmp_path), 16, labelled=True)
    assert labelled.classes == ("boots", "hats")
    assert labelled.labels.tolist() == [0, 0, 1]
    save(tmp_path / "4.png", "red")
    with pytest.raises(DataError, match=r"--conditional: .* at least two folders, one for each class, and no pictures beside them"):
        data.load(str(tmp_path), 16, labelled=True)
