"""What `make bento` packs, and the image's recipe that comes of it. No engine is needed."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import bentoml
import pytest
import yaml

from deploy.image import containerfile

ROOT = Path(__file__).parents[2]


def clone(folder):
    """This working tree as the only commit of a repository."""
    listed = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", "training/")) and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    # What must not get in
    (folder / "models" / "of-mine").mkdir()
    (folder / "models" / "of-mine" / "model.json").write_text("{}")
    (folder / "gan" / "networks" / "new.py").write_text("import torch\n")
    who = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    when = {f"GIT_{role}_DATE": "2026-01-02T03:04:05+00:00" for role in ("AUTHOR", "COMMITTER")}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--no-verify", "--message", "x"]):
        # To compress the models takes longer than to build the bento.
        subprocess.run(["git", "-c", "core.compression=0", *command], cwd=folder, env={**os.environ, **who, **when}, check=True)
    return folder


def build(folder, kind):
    """The bento's folder."""
    environment = {
        **os.environ,
        "BENTOML": str(Path(sys.executable).with_name("bentoml")),
        "BENTOML_HOME": str(folder / "home"),
        "PYTHONPATH": "",
    }
    tag = subprocess.check_output([folder / "deploy" / "bento.sh", kind], env=environment, text=True).strip()
    return folder / "home" / "bentos" / tag.replace(":", "/")


def contents(bento):
    return {
        str(path.relative_to(bento)): hashlib.sha256(path.read_bytes()).hexdigest() for path in bento.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def cpu(checkout):
    return build(checkout, "cpu")


@pytest.fixture(scope="module")
def gpu(checkout):
    return build(checkout, "gpu")


def packages(bento):
    """The packages of the image, by name, with their versions; every one must have a hash."""
    text = (bento / "env/python/requirements.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, version = re.match(r"([\w.-]+)==(\S+)", line).groups()
        assert "--hash=sha256:" in line or (name == "bentoml" and found[name] == version), line  # BentoML names itself once more
        found[name] = version
    return found


def test_the_same_commit_gives_the_same_contents_wherever_it_is_built(cpu, tmp_path):
    assert contents(build(clone(tmp_path), "cpu")) == contents(cpu)


def test_it_holds_the_service_and_the_named_models_and_nothing_else(cpu):
    names = [Path(name).relative_to("src") for name in contents(cpu) if name.startswith("src/")]
    assert {name.parts[0] for name in names} == {"service.py", "LICENSE", "bentofile.yaml", "gan", "serving", "deploy", "models"}
    assert {name.parts[1] for name in names if name.parts[0] == "deploy"} == {
        "requirements-cpu.txt",
        "requirements-gpu.txt",
        "requirements-openvino.txt",
    }
    asked_for = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    models = {name.parts[1] for name in names if name.parts[0] == "models"}
    assert models == {line.split("/")[1] for line in asked_for if line.startswith("models/")}
    assert models
    assert not any("networks" in name.parts for name in names)


def test_its_recipe_brings_no_compiler_and_no_root(cpu):
    recipe = (cpu / "env/docker/Dockerfile").read_text()
    assert "FROM python:3.11-slim " in recipe
    assert "apt-get" not in recipe
    assert re.findall(r"^USER (.*)$", recipe, re.MULTILINE)[-1] == "bentoml"


def test_a_cpu_image_has_pinned_packages_with_hashes_and_no_torch(cpu):
    found = packages(cpu)
    assert {"bentoml", "onnxruntime", "numpy", "pillow", "fsspec", "aiohttp"} <= found.keys()
    assert not {"torch", "triton", "onnx", "pytest", "uv", "s3fs"} & found.keys()


def test_a_gpu_image_differs_by_torch_with_cuda_and_the_runtime_alone(cpu, gpu):
    more = packages(gpu).items() - packages(cpu).items()
    names = {name for name, _ in more}
    assert {"torch", "triton", "nvidia-cudnn-cu13", "nvidia-cublas"} <= names
    assert not {"torchvision", "matplotlib", "tensorboard", "onnx"} & names
    assert packages(cpu).items() <= packages(gpu).items()

    def recipe(bento):
        return (bento / "env/docker/Dockerfile").read_text().splitlines()

    assert [line for line in recipe(gpu) if line not in recipe(cpu)] == [
        "ARG GAN_RUNTIME=torchscript",
        "ENV GAN_RUNTIME=$GAN_RUNTIME",
    ]
    before = contents(cpu)
    assert {name for name, digest in contents(gpu).items() if before.get(name) != digest} == {
        "bento.yaml",
        "env/docker/Dockerfile",
        "env/python/requirements.in",
        "env/python/requirements.txt",
        "src/bentofile.yaml",
    }


def test_an_openvino_image_differs_by_openvino_and_the_runtime_alone(checkout, cpu):
    found = build(checkout, "openvino")
    assert {name for name, _ in packages(found).items() - packages(cpu).items()} == {"openvino", "openvino-telemetry"}
    assert 'ENV GAN_RUNTIME="openvino"\n' in containerfile(bentoml.bentos.Bento.from_path(str(found)))


def test_the_image_gets_the_environment_that_the_bento_asks_for(gpu):
    text = containerfile(bentoml.bentos.Bento.from_path(str(gpu)))
    assert 'ENV GAN_RUNTIME="torchscript"\n' in text
    assert 'ENV BENTOML_HOME="/tmp/bentoml"\n' in text
    assert "HEALTHCHECK" in text
    assert "USER 1034:1034" in text


@pytest.mark.parametrize(("kind", "extra"), [("cpu", None), ("openvino", "openvino"), ("gpu", "gpu")])
def test_the_lists_are_those_of_pyproject_in_the_versions_of_the_constraints(kind, extra):
    listed = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / f"deploy/requirements-{kind}.txt").read_text(), re.MULTILINE))
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    assert {re.match(r"[\w-]+", one)[0].replace("_", "-") for one in wanted} <= listed.keys()
    elsewhere = {"cffi", "pycparser", "setuptools"}  # for PyPy, and what torch alone asks for
    assert {name: version for name, version in listed.items() if name not in elsewhere}.items() <= pinned.items()
    assert f"uv=={pinned['uv']}" in (ROOT / "service.py").read_text()
