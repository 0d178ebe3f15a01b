"""What many tests need: a small real data set, and a small generator trained on it by the training command."""

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Generator

# Each worker of pytest-xdist gets a processor to itself, and with it one thread wherever the number is ours to choose: networks as
# small as those of the tests gain nothing by more, and threads of two workers would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[int(os.environ["PYTEST_XDIST_WORKER"][2:]) % len(processors)]})

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from gan.latents import InputSpec, inputs_of_seeds
from tests.exports import quicken

# BentoML reads these when it is first imported. What was decoded or trained once is there for all workers of pytest-xdist, which
# inherit the cache; figures are each worker's own.
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
for name in ("XDG_CACHE_HOME", "PROMETHEUS_MULTIPROC_DIR"):
    if name == "XDG_CACHE_HOME" and "PYTEST_XDIST_WORKER" in os.environ:
        continue
    os.environ[name] = tempfile.mkdtemp(prefix="gan-test-")
    atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)


def forget_settings() -> list[str]:
    """Remove the service's settings from the environment, and say which they were."""
    names = [name for name in os.environ if name.startswith("GAN_")]
    for name in names:
        del os.environ[name]
    return names


forget_settings()  # those of whoever runs the tests

quicken()

# Flags of the training command: by few images
QUICKLY_MEASURED = ("--measure", "100", "--measure-final", "100", "--measure-sets", "1")

SMALL_DATA = Path(__file__).parent / "data" / "fashion-mnist-small"  # 512 real images


# Runtimes and devices that must all keep the same promises
BACKENDS = [
    ("onnx", "cpu"),
    ("torchscript", "cpu"),
    pytest.param(("torchscript", "cuda"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]


def pytest_collection_finish() -> None:
    """Exports make garbage by the million, and each full collection of it would go through all of torch as well."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """A setting that a test or its fixture leaves behind would be one of every service that later tests start."""
    yield
    left = forget_settings()
    assert not left, f"left in the environment: {', '.join(left)}"


@dataclass(frozen=True)
class Trained:
    """What one run of the training command left behind."""

    run: Path
    models: Path
    model: Path


def latents(seeds, z_dim: int = 100, truncation: float | None = None):
    """The latent vectors of an unconditional model, float32 [n, z_dim]."""
    return inputs_of_seeds(seeds, InputSpec(z_dim), truncation)["z"]


def train(folder: Path, *flags: str, data: Path = SMALL_DATA) -> Trained:
    """Run the training command within `folder`."""
    from training.run import main

    where = ["--out", str(folder / "runs"), "--models", str(folder / "models")]
    assert main(["--data", str(data), *QUICKLY_MEASURED, *where, *flags]) == 0
    return found(folder)


def found(folder: Path) -> Trained:
    """The one run in a folder, and its model."""
    (run,) = (folder / "runs").iterdir()
    (model,) = (folder / "models").iterdir()
    return Trained(run, folder / "models", model)


def train_once(factory: pytest.TempPathFactory, name: str, *flags: str) -> Trained:
    """What the training command leaves behind, made by the first worker of pytest-xdist that asks. Tests must not change it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(folder.with_suffix(".lock")):
        return found(folder) if (folder / "models").exists() else train(folder, *flags)


@pytest.fixture(autouse=True)
def threads_as_before():
    """A run with --threads sets their number for the whole process, and with another number draws other weights."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The same with labels, by which its images can be asked for."""
    return train_once(tmp_path_factory, "conditional", "--images", "1000", "--width", "16", "--conditional")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A generator that saw 2,000 images, narrow so that it is quick; each of its figures has a spread."""
    flags = ("--images", "2000", "--width", "16", "--sample-every", "1000", "--measure-sets", "2")
    return train_once(tmp_path_factory, "trained", *flags)


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A conditional model of normal images, with an encoder and a score."""
    flags = ("--recipe", "f-anogan", "--images", "1000", "--encoder-images", "1000", "--width", "8", "--conditional")
    return train_once(tmp_path_factory, "scored", *flags)


@pytest.fixture(scope="session")
def _short(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_once(tmp_path_factory, "short", "--images", "128", "--width", "4")


@pytest.fixture
def short(_short: Trained, tmp_path: Path) -> Trained:
    """A run of 128 images in the test's own `runs`, and its model in `models`, to be changed and to go on."""
    shutil.copytree(_short.run.parents[1], tmp_path, dirs_exist_ok=True)
    return found(tmp_path)
