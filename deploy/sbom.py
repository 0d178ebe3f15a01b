"""What is in an image: a bill of materials (CycloneDX 1.6, JSON), and the text of every licence."""

import json
import subprocess
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from gan.manifest import Manifest

HERE = Path(__file__).parent


def inventory(image: str, engine: str) -> list[dict[str, Any]]:
    """What deploy/inventory.py finds in the image."""
    command = [
        engine,
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "--no-healthcheck",
        "--entrypoint",
        "python",
        image,
        "-",
    ]
    found: list[dict[str, Any]] = json.loads(subprocess.check_output(command, input=(HERE / "inventory.py").read_bytes()))
    return sorted(found, key=lambda one: (one["kind"], one["name"].lower()))


def packages(found: list[dict[str, Any]]) -> list[Component]:
    """A component for each package."""
    components = []
    for one in found:
        qualifiers = {"arch": one["architecture"], "distro": one["distro"]} if one["kind"] == "deb" else None
        namespace = "debian" if one["kind"] == "deb" else None
        name = one["name"].lower().replace("_", "-") if one["kind"] == "pypi" else one["name"]
        purl = PackageURL(one["kind"], namespace, name, one["version"], qualifiers)
        # What is not an SPDX expression stays a name.
        licences = [LicenseFactory().make_from_string(one["licence"])] if one["licence"] else []
        components.append(
            Component(name=one["name"], version=one["version"], purl=purl, bom_ref=purl.to_string(), licenses=licences)
        )
    return components


def models(manifests: list[Manifest]) -> list[Component]:
    """A component for each model."""
    return [
        Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            name=manifest.name,
            version=manifest.version,
            bom_ref=f"model:{manifest.name}@{manifest.version}",
            licenses=[DisjunctiveLicense(name=manifest.licence)],
        )
        for manifest in manifests
    ]


def bill_of_materials(image: str, made: datetime, found: list[dict[str, Any]], manifests: list[Manifest]) -> str:
    """The CycloneDX document; the same for the same contents. Raises ValueError if it is not valid."""
    name, _, version = image.rpartition(":")
    bom = Bom(components=[*packages(found), *models(manifests)])
    bom.metadata.timestamp = made
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER,
        bom_ref=image,
        name=name,
        version=version,
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    bom.metadata.properties.add(Property(name="gan-service:inventory", value="importlib.metadata, dpkg-query"))
    bom.register_dependency(bom.metadata.component, bom.components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([image, found], sort_keys=True))
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the bill of materials is not valid CycloneDX: {problem}")
    return text


def licence_texts(found: list[dict[str, Any]], manifests: list[Manifest]) -> str:
    """Every licence text in the image, under the packages that it came with."""
    by_text: dict[str, list[str]] = {}
    for one in found:
        for text in one["texts"] or [f"No text came with this package; it names its licence: {one['licence']}\n"]:
            by_text.setdefault(text.strip(), []).append(f"{one['name']} {one['version']} ({one['kind']}): {one['licence']}")
    sections = ["\n".join(sorted(set(packages))) + f"\n\n{text}\n" for text, packages in by_text.items()]
    own = ["gan-service: Apache-2.0\n\n" + (HERE.parent / "LICENSE").read_text()]
    trained = [f"model {manifest.name} {manifest.version}: {manifest.licence}\n" for manifest in manifests]
    return f"\n{'=' * 100}\n".join([*own, *trained, *sections])
