"""Which engine builds, and what is said of an image's contents."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy import inventory, sbom
from deploy.image import find_engine
from gan import model_folder

ROOT = Path(__file__).parents[2]
MADE = datetime(2026, 1, 2, tzinfo=UTC)
DEBIAN = {
    "kind": "deb",
    "name": "libc6",
    "version": "2.36-9+deb12u14",
    "architecture": "amd64",
    "distro": "debian-12",
    "licence": "LGPL-2.1",
    "texts": ["The GNU C Library"],
}


def program(folder, name, works, says=""):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {says}\nexit {0 if works else 1}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("there", "chosen"),
    [({"docker": True, "podman": True}, "docker"), ({"docker": False, "podman": True}, "podman"), ({"podman": True}, "podman")],
)
def test_the_engine_that_works_is_taken(tmp_path, monkeypatch, there, chosen):
    for name, works in there.items():
        program(tmp_path / "bin", name, works)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    assert find_engine() == chosen


def test_podman_by_the_name_of_docker_is_podman(tmp_path, monkeypatch):
    program(tmp_path / "bin", "docker", works=True, says="podman version 4.3.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    assert find_engine() == "podman"


def test_without_an_engine_it_says_so(tmp_path, monkeypatch):
    program(tmp_path / "bin", "docker", works=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    with pytest.raises(SystemExit, match="neither docker nor podman works here"):
        find_engine()


@pytest.fixture(scope="module")
def found():
    """What the inventory says of the environment that the tests run in, and one Debian package."""
    code = "import json; from deploy.inventory import of_python; print(json.dumps(of_python()))"
    return [*json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)), DEBIAN]


@pytest.fixture(scope="module")
def manifests():
    return [model_folder.read_manifest(path) for path in model_folder.discover(ROOT / "models")]


def test_the_bill_of_materials_names_every_package_and_model_with_its_licence(found, manifests):
    import numpy

    bill = json.loads(sbom.bill_of_materials("gan-service:1", MADE, found, manifests))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["type"] == "container"
    components = {component["bom-ref"]: component for component in bill["components"]}
    assert len(components) == len(found) + len(manifests)
    assert "BSD-3-Clause" in json.dumps(components[f"pkg:pypi/numpy@{numpy.__version__}"]["licenses"])
    assert components["pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12"]["licenses"]
    assert components[f"model:{manifests[0].name}@{manifests[0].version}"]["type"] == "machine-learning-model"
    assert sbom.bill_of_materials("gan-service:1", MADE, found, manifests) == json.dumps(bill, indent=2)


def test_every_licence_text_is_there_under_its_packages(found, manifests):
    text = sbom.licence_texts(found, manifests)
    assert "libc6 2.36-9+deb12u14 (deb): LGPL-2.1\n\nThe GNU C Library\n" in text
    assert "Apache License" in text.partition("=" * 100)[0]  # our own comes first
    assert all(f"{one['name']} {one['version']} ({one['kind']})" in text for one in found)
    assert manifests[0].licence in text


def test_an_interpreter_that_is_not_debians_counts_with_what_comes_with_it(monkeypatch):
    monkeypatch.setattr(inventory.sys, "base_prefix", "/usr")
    assert inventory.of_interpreter() == []
    monkeypatch.setattr(inventory.sys, "base_prefix", "/usr/local")
    monkeypatch.setattr(inventory, "of_python", lambda path: [{"kind": "pypi", "name": path[0]}])
    python, packages = inventory.of_interpreter()
    assert python["name"] == "cpython"
    assert sys.version.startswith(python["version"])
    assert python["licence"] == "Python-2.0"
    assert packages["name"] == f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    bill = json.loads(sbom.bill_of_materials("gan-service:1", MADE, [python], []))
    assert bill["components"][0]["purl"] == f"pkg:generic/cpython@{python['version']}"
