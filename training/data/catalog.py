"""The builtin sets, their properties, and how folders of their raw files are recognised."""

from dataclasses import dataclass
from pathlib import Path

from training.data.dataset import slug
from training.data.idx import find_idx

_SEE_ITS_PAGE = "see the data set's own page"
_CC_BY_SA_3 = "CC BY-SA 3.0 (MNIST, Yann LeCun and Corinna Cortes)"
_CC_BY_SA_4 = "CC BY-SA 4.0 (KMNIST, created by CODH from the Kuzushiji Dataset by NIJL and others, doi:10.20676/00000341)"
_CC_BY_4 = "CC BY 4.0 (Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, doi:10.24432/C50P49)"

_DIGITS = tuple("0123456789")
_GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CHARACTERS = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")  # lower case only where it looks different
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_OBJECTS_OF_STL = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@dataclass(frozen=True)
class CatalogEntry:
    """The properties of a builtin set."""

    count: int  # images to train on; some of those of digits are held out
    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    licence: str
    torchvision: str | None  # the class there that downloads it; None for scikit-learn's digits
    marker: str | None = None  # a file or folder in torchvision's folder for it; None for files in the format of MNIST
    training: str = "train-"  # prefix of the names of such files
    test: str = "t10k-"
    all_labelled: bool = True  # False where only some images have labels


CATALOG = {
    "fashion-mnist": CatalogEntry(60_000, 28, 28, 1, _GARMENTS, "MIT (Fashion-MNIST, Zalando SE)", "FashionMNIST"),
    "mnist": CatalogEntry(60_000, 28, 28, 1, _DIGITS, _CC_BY_SA_3, "MNIST"),
    "kmnist": CatalogEntry(60_000, 28, 28, 1, _KANA, _CC_BY_SA_4, "KMNIST"),
    # Its balanced split: digits and both cases of letters, the same number of each.
    "emnist": CatalogEntry(
        *(112_800, 28, 28, 1, _CHARACTERS, _SEE_ITS_PAGE, "EMNIST"), training="emnist-balanced-train-", test="emnist-balanced-test-"
    ),
    "cifar10": CatalogEntry(50_000, 32, 32, 3, _OBJECTS, _SEE_ITS_PAGE, "CIFAR10", "cifar-10-batches-py"),
    "svhn": CatalogEntry(73_257, 32, 32, 3, _DIGITS, _SEE_ITS_PAGE, "SVHN", "train_32x32.mat"),
    # With the 100,000 unlabelled images; 5,000 have labels.
    "stl10": CatalogEntry(105_000, 96, 96, 3, _OBJECTS_OF_STL, _SEE_ITS_PAGE, "STL10", "stl10_binary", all_labelled=False),
    "digits": CatalogEntry(1_797, 8, 8, 1, _DIGITS, _CC_BY_4, None),
}
BUILTIN_DATASETS = tuple(CATALOG)


@dataclass(frozen=True)
class RawSet:
    """A folder with the files of a set as they were published."""

    name: str  # of the builtin set, or made from the folder's name
    entry: CatalogEntry | None  # None for other sets in the format of MNIST
    folder: Path  # of the files, or for cifar10, svhn and stl10 torchvision's root


def images_file(entry: CatalogEntry | None, test: bool = False) -> str:
    """Name of the file of images, without .gz, for sets in the format of MNIST."""
    prefixes = ("train-", "t10k-") if entry is None else (entry.training, entry.test)
    return f"{prefixes[test]}images-idx3-ubyte"


def labels_file(entry: CatalogEntry | None, test: bool = False) -> str:
    """Name of the file of labels, without .gz, for sets in the format of MNIST."""
    return images_file(entry, test).replace("images-idx3", "labels-idx1")


def find_raw_set(folder: Path) -> RawSet | None:
    """Recognise a folder of raw files of a set; None for any other folder.

    The files of MNIST, Fashion-MNIST and KMNIST have the same names: the name of the folder or its parent tells which it is
    (torchvision's is KMNIST/raw).
    """
    for name, entry in CATALOG.items():
        for root in (folder, folder.resolve().parent):
            if entry.marker and (root == folder or folder.resolve().name == entry.marker) and (root / entry.marker).exists():
                return RawSet(name, entry, root)
    emnist = CATALOG["emnist"]
    if find_idx(folder, images_file(emnist)):
        return RawSet("emnist", emnist, folder)
    if not find_idx(folder, images_file(None)):
        return None
    around = [slug(part).replace("-", "") for part in folder.resolve().parts[:-3:-1]]
    for name, word in (("fashion-mnist", "fashion"), ("kmnist", "kmnist"), ("mnist", "mnist")):
        if any(word in part for part in around):
            return RawSet(name, CATALOG[name], folder)
    return RawSet(slug(folder.resolve().name), None, folder)
