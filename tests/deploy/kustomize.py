"""Renders deploy/kubernetes: by kubectl where it is installed, and by the few rules of kustomize that are used there."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

KUBECTL = shutil.which("kubectl")

_KEYS = {"containers": "name", "env": "name"}  # lists whose items a patch changes by this field; any other it replaces

Object = dict[str, Any]


def rendered_by_kubectl(folder: Path) -> list[Object]:
    """What `kubectl apply -k` would send."""
    assert KUBECTL
    text = subprocess.run([KUBECTL, "kustomize", folder], stdout=subprocess.PIPE, text=True, check=True).stdout
    return in_order(list(yaml.safe_load_all(text)))


def rendered(folder: Path, objects: list[Object] | None = None) -> list[Object]:
    """The same without kubectl; `objects` are those that a component is applied to."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    known = {"apiVersion", "kind", "resources", "components", "patches", "images"}
    assert said.keys() <= known, f"tests/deploy/kustomize.py does not know {said.keys() - known}"
    objects = objects or []
    for name in said.get("resources", []):
        path = folder / name
        objects += rendered(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for name in said.get("components", []):
        objects = rendered(folder / name, objects)
    for entry in said.get("patches", []):
        patch = yaml.safe_load(entry["patch"] if "patch" in entry else (folder / entry["path"]).read_text())
        (target,) = (one for one in objects if identity(one) == identity(patch))
        objects[objects.index(target)] = _patched(target, patch)
    for image in said.get("images", []):
        _rename(objects, image)
    return in_order(objects)


def identity(one: Object) -> tuple[str, str, str]:
    """What a patch names."""
    return one["apiVersion"], one["kind"], one["metadata"]["name"]


def in_order(objects: list[Object]) -> list[Object]:
    """Objects and lists with keys in one order: kustomize puts what a patch adds first, and has an order of kinds."""
    return sorted((_sorted(one) for one in objects), key=identity)


def _sorted(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _sorted(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        items = [_sorted(item) for item in value]
        return sorted(items, key=lambda item: item[_KEYS[name]]) if name in _KEYS else items
    return value


def _patched(value: Any, patch: Any, name: str = "") -> Any:
    """A strategic merge, as Kubernetes calls it."""
    if isinstance(value, dict) and isinstance(patch, dict):
        return value | {key: _patched(value.get(key), inner, key) for key, inner in patch.items()}
    if isinstance(value, list) and name in _KEYS:
        by_key = {item[_KEYS[name]]: item for item in value}
        return list((by_key | {item[_KEYS[name]]: _patched(by_key.get(item[_KEYS[name]]), item) for item in patch}).values())
    return patch


def _rename(objects: list[Object], image: dict[str, str]) -> None:
    for one in objects:
        if one["kind"] == "Deployment":
            for container in one["spec"]["template"]["spec"]["containers"]:
                name, _, tag = container["image"].partition(":")
                if name == image["name"]:
                    tag = image.get("newTag", tag)
                    container["image"] = image.get("newName", name) + (f":{tag}" if tag else "")
