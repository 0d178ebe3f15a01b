import gzip
import hashlib
import pickle

import numpy as np
import pytest

from tests.conftest import SMALL_DATA
from training import data
from training.data import published
from training.errors import DataError

SIZE = (32, 32)


@pytest.fixture(scope="module")
def small():
    return data.load(str(SMALL_DATA), SIZE)


@pytest.fixture
def not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "_DEBIAN_PACKAGE", tmp_path / "not-installed")


def idx(array):
    return b"\x00\x00\x08" + bytes([array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape) + array.tobytes()


def write_mnist(folder, classes, n=40, names=("train-", "t10k-"), suffix=""):
    """Files in the format of MNIST: random images of n and n/2, with every class among the labels."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    written = []
    for prefix, count in zip(names, (n, n // 2), strict=True):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % classes).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = gzip.compress(idx(array)) if suffix else idx(array)
            (folder / f"{prefix}{kind}-ubyte{suffix}").write_bytes(content)
        written += [images, labels]
    return written


def test_fashion_mnist_is_padded_in_the_middle(small):
    raw = np.frombuffer(gzip.decompress((SMALL_DATA / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    assert small.images.shape == (512, 1, 32, 32)
    assert np.array_equal(small.images[:, 0, 2:30, 2:30], raw.reshape(512, 28, 28))
    assert small.images.sum() == raw.sum()
    assert (small.name, small.licence) == ("fashion-mnist", "MIT (Fashion-MNIST, Zalando SE)")
    assert small.notes == ("512 images of 28x28 padded with black to 32x32", "128 others held out")


def test_its_test_set_is_held_out(small):
    raw = np.frombuffer(gzip.decompress((SMALL_DATA / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    assert np.array_equal(small.held_out.images[:, 0, 2:30, 2:30], raw.reshape(128, 28, 28))
    assert small.held_out.labels is None
    labels = data.load(str(SMALL_DATA), SIZE, labelled=True).held_out.labels
    raw = gzip.decompress((SMALL_DATA / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    assert labels.tolist() == list(raw)


@pytest.mark.parametrize(("size", "left", "top"), [((28, 28), 0, 0), ((36, 36), 4, 4), ((29, 34), 3, 0)])
def test_up_to_36_pixels_there_is_a_margin_and_no_scaling(small, size, left, top):
    images = data.load(str(SMALL_DATA), size).images
    assert images.shape == (512, 1, *size)
    assert np.array_equal(images[:, :, top : top + 28, left : left + 28], small.images[:, :, 2:30, 2:30])
    assert images.sum() == small.images.sum()


def test_to_other_sizes_it_is_scaled(small):
    for size, note in [((16, 16), "512 scaled down"), ((64, 64), "512 scaled up (512 by more than 2x")]:
        dataset = data.load(str(SMALL_DATA), size)
        assert dataset.images.shape == (512, 1, *size)
        assert note in dataset.notes[0]
        means = dataset.images.mean((1, 2, 3)), small.images[:, :, 2:30, 2:30].mean((1, 2, 3))
        assert np.abs(means[0] - means[1]).max() < 4
    padded = data.load(str(SMALL_DATA), (40, 60), fit="pad").images
    assert padded[:, :, :, [*range(10), *range(50, 60)]].max() == 0  # black, whatever the background


def test_labels_are_there_where_they_are_asked_for(small):
    labelled = data.load(str(SMALL_DATA), SIZE, labelled=True)
    assert small.labels is None
    assert small.classes == ()
    assert labelled.classes[8:] == ("Bag", "Ankle boot")
    assert labelled.labels.shape == (512,)
    # Trousers stand, bags lie: the labels belong to these images in this order.
    heights, widths = (labelled.images[:, 0].any(axis).sum(1) for axis in (2, 1))
    ratios = [(heights / widths)[labelled.labels == label].mean() for label in (1, 7)]
    assert ratios[0] > 1.5 > 1 > ratios[1]
    images, labels = labelled.batch(seed=1, seen=7, size=20)
    places = [int((labelled.images == image).all((1, 2, 3)).argmax()) for image in images]
    assert labels.tolist() == labelled.labels[places].tolist()
    assert labelled.fingerprint != small.fingerprint


def test_labels_that_do_not_fit_are_refused(tmp_path):
    for file in SMALL_DATA.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(idx(np.arange(3, dtype=np.uint8))))
        with pytest.raises(DataError, match=f"{name} does not fit"):
            data.load(str(tmp_path), SIZE, labelled=True)
        (tmp_path / name).unlink()
        with pytest.raises(DataError, match=f"holds no {name}"):
            data.load(str(tmp_path), SIZE, labelled=True)
        data.load(str(tmp_path), SIZE)
        (tmp_path / name).write_bytes(whole)


def test_damaged_files_are_named(tmp_path):
    whole = (SMALL_DATA / "train-images-idx3-ubyte.gz").read_bytes()
    empty = gzip.compress(bytes([0, 0, 8, 3, *[0] * 12]))
    for content in (b"damaged", whole[:1000], whole[:20] + b"\xff" + whole[21:], empty):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged"):
            data.load(str(tmp_path), SIZE)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        data.survey(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "folder", "classes", "last", "names"),
    [
        ("fashion-mnist", "FashionMNIST", 10, "Ankle boot", ("train-", "t10k-")),
        ("mnist", "MNIST", 10, "9", ("train-", "t10k-")),
        ("kmnist", "KMNIST", 10, "wo", ("train-", "t10k-")),
        ("emnist", "EMNIST", 47, "t", ("emnist-balanced-train-", "emnist-balanced-test-")),
    ],
)
def test_sets_are_found_by_name_and_by_folder_as_torchvision_leaves_them(
    cache, tmp_path, not_installed, name, folder, classes, last, names
):
    images, labels, held_out, held_out_labels = write_mnist(cache / folder / "raw", classes, 94, names)
    write_mnist(tmp_path / f"my-{name}", classes, 94, names, ".gz")
    if name == "emnist":  # which lies on its side in its files
        images, held_out = images.transpose(0, 2, 1), held_out.transpose(0, 2, 1)
    for source in (name, str(cache / folder / "raw"), str(tmp_path / f"my-{name}")):
        dataset = data.load(source, (28, 28), labelled=True)
        assert dataset.name == name
        assert dataset.licence
        assert (len(dataset.classes), dataset.classes[-1]) == (classes, last)
        assert np.array_equal(dataset.images[:, 0], images)
        assert np.array_equal(dataset.held_out.images[:, 0], held_out)
        assert dataset.labels.tolist() == labels.tolist()
        assert dataset.held_out.labels.tolist() == held_out_labels.tolist()


def test_mnist_files_of_an_unknown_set_are_named_after_their_folder(tmp_path):
    write_mnist(tmp_path / "My Signs" / "raw", 5)
    dataset = data.load(str(tmp_path / "My Signs" / "raw"), SIZE, labelled=True)
    assert (dataset.name, dataset.classes) == ("raw", ("0", "1", "2", "3", "4"))
    assert dataset.licence == "that of the images it was trained on"
    assert not data.survey(str(tmp_path / "My Signs" / "raw")).builtin


def test_without_a_test_split_nothing_is_held_out(tmp_path):
    write_mnist(tmp_path / "mnist", 10)
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").unlink()
    assert data.load(str(tmp_path / "mnist"), SIZE).held_out is None


def test_cifar10_is_read_by_torchvision(tmp_path, monkeypatch, cache):
    from torchvision.datasets import CIFAR10

    random = np.random.default_rng(0)
    folder = cache / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rows = random.integers(0, 256, (6, 4, 3072), np.uint8)
    contents = {f"data_batch_{number}": {"data": rows[number - 1], "labels": [0, 1, 2, 9]} for number in range(1, 6)}
    contents |= {"test_batch": {"data": rows[5], "labels": [3, 4, 5, 6]}, "batches.meta": {"label_names": ["x"] * 10}}
    digests = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        digests[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{number}", digests[f"data_batch_{number}"]] for number in range(1, 6)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", digests["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": digests["batches.meta"]})
    for source in ("cifar10", str(cache), str(folder)):
        dataset = data.load(source, SIZE, labelled=True)
        assert (dataset.name, dataset.classes[9]) == ("cifar10", "truck")
        assert np.array_equal(dataset.images, rows[:5].reshape(20, 3, 32, 32))
        assert dataset.labels.tolist() == [0, 1, 2, 9] * 5
        assert np.array_equal(dataset.held_out.images, rows[5].reshape(4, 3, 32, 32))
        assert dataset.held_out.labels.tolist() == [3, 4, 5, 6]
    assert data.load("cifar10", SIZE).held_out.labels is None
    (folder / "data_batch_3").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"cifar10 cannot be read there .*; fetch it again"):
        data.load(str(folder), SIZE)


def test_svhn_is_read_by_torchvision(monkeypatch, cache):
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    cache.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8)
    splits = {}
    for split, half in (("train", slice(0, 6)), ("test", slice(6, 8))):
        path = cache / f"{split}_32x32.mat"
        labels = np.array([[10], [1], [2], [9], [5], [5], [7], [10]], np.uint8)[half]
        savemat(path, {"X": images[half].transpose(2, 3, 1, 0), "y": labels})
        splits[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", splits)
    dataset = data.load("svhn", SIZE, labelled=True)
    assert np.array_equal(dataset.images, images[:6])
    assert np.array_equal(dataset.held_out.images, images[6:])
    assert dataset.labels.tolist() == [0, 1, 2, 9, 5, 5]  # a zero is labelled 10 there
    assert dataset.held_out.labels.tolist() == [7, 0]


def test_stl10_has_more_images_without_labels(monkeypatch, cache):
    from torchvision.datasets import STL10

    folder = cache / "stl10_binary"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 96, 96), np.uint8)
    contents = {
        "train_X.bin": images[:3],
        "train_y.bin": np.array([1, 10, 2], np.uint8),
        "unlabeled_X.bin": images[3:5],
        "test_X.bin": images[5:],
        "test_y.bin": np.array([4, 5], np.uint8),
    }
    digests = []
    for name, content in contents.items():  # on its side, as the set has it
        (folder / name).write_bytes((content.transpose(0, 1, 3, 2) if content.ndim == 4 else content).tobytes())
        digests.append([name, hashlib.md5((folder / name).read_bytes()).hexdigest()])
    monkeypatch.setattr(STL10, "train_list", digests[:3])
    monkeypatch.setattr(STL10, "test_list", digests[3:])
    labelled = data.load("stl10", (96, 96), labelled=True)
    assert np.array_equal(labelled.images, images[:3])
    assert [labelled.classes[label] for label in labelled.labels] == ["airplane", "truck", "bird"]
    assert np.array_equal(labelled.held_out.images, images[5:])
    assert np.array_equal(data.load(str(folder), (96, 96)).images, images[:5])


def test_digits_are_scikit_learns_enlarged():
    from sklearn.datasets import load_digits

    published = load_digits()
    dataset = data.load("digits", (8, 8), labelled=True)
    everything = {image.tobytes() for image in np.concatenate([dataset.images, dataset.held_out.images])}
    assert everything == {np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in published.images}
    assert len(dataset.images) + len(dataset.held_out.images) == 1797
    assert 60 < len(dataset.held_out.images) < 120
    assert np.bincount(np.concatenate([dataset.labels, dataset.held_out.labels])).tolist() == np.bincount(published.target).tolist()
    assert "CC BY 4.0" in dataset.licence
    large = data.load("digits", SIZE)
    assert large.images.shape == (len(dataset.images), 1, 32, 32)
    assert np.abs(large.images.mean((1, 2, 3)) - dataset.images.mean((1, 2, 3))).max() < 8
    assert "scaled up" in large.notes[0]


def test_of_large_test_sets_10000_are_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "_MOST_HELD_OUT", 7)
    whole = write_mnist(tmp_path / "mnist", 10)
    dataset = data.load(str(tmp_path / "mnist"), (28, 28), labelled=True)
    assert np.array_equal(dataset.held_out.images[:, 0], whole[2][:7])
    assert dataset.held_out.labels.tolist() == whole[3][:7].tolist()


def test_what_is_not_on_this_machine_is_downloaded(cache, not_installed, monkeypatch):
    import torchvision.datasets

    def download(root, download):
        assert (root, download) == (str(cache), True)
        write_mnist(cache / "FashionMNIST" / "raw", 10)

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    assert len(data.load("fashion-mnist", SIZE).images) == 40
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", None)
    assert len(data.load("fashion-mnist", SIZE).images) == 40


@pytest.mark.parametrize(
    ("name", "torchvision_name", "remedy"),
    [
        (
            "fashion-mnist",
            "FashionMNIST",
            "install Debian's package dataset-fashion-mnist, or give a folder that holds train-images",
        ),
        ("mnist", "MNIST", r"give a folder that holds train-images-idx3-ubyte\.gz"),
        ("emnist", "EMNIST", "give a folder that holds emnist-balanced-train-images"),
        ("cifar10", "CIFAR10", "give a folder that holds cifar-10-batches-py"),
        ("svhn", "SVHN", r"give a folder that holds train_32x32\.mat"),
        ("stl10", "STL10", "give a folder that holds stl10_binary"),
    ],
)
def test_without_a_network_the_remedy_is_said(not_installed, monkeypatch, name, torchvision_name, remedy):
    import torchvision.datasets

    def download(root, **options):
        assert options["download"]
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(torchvision.datasets, torchvision_name, download)
    with pytest.raises(DataError, match=rf"--data {name}: .* could not be downloaded \(no network\); {remedy}"):
        data.load(name, SIZE)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"--data digits: it comes with scikit-learn.*pip install scikit-learn"):
        data.load("digits", SIZE)
