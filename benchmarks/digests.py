"""Digests of what a checkout trains, exports and answers, to show that another version of the code gives the same bytes.

python -m benchmarks.digests --out before.json                         of this checkout
python -m benchmarks.digests --of ../changed --against before.json     of another, compared; exit status 1 if anything differs

Four recipes are trained on 2,000 images each with one thread, exported, and served beside the models that ship; the service is
then asked 60 requests, of every kind that has a fixed answer. Digests hold for one machine with the same libraries: other kernels
round in other ways. Only commands and the HTTP API are used, so that how the code is arranged does not matter.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from safetensors.numpy import load_file

from benchmarks.sides import ADDRESS, ROOT, running

_RECIPES = {
    "dcgan": ["--recipe", "dcgan", "--width", "16"],
    "acgan": ["--recipe", "acgan", "--width", "16", "--anneal-images", "4000", "--learning-rate-end", "1e-5"],
    "infogan": ["--recipe", "infogan", "--width", "16", "--codes", "kind=4,slant"],
    "r3gan": ["--recipe", "r3gan", "--width", "16", "--augment", "diffaugment", "--mirror", "--batch-size", "32"],
}
_COMMON = ["--images", "2000", "--threads", "1", "--precision", "float32", "--device", "cpu", "--checkpoint-every", "1000"]
_COMMON += ["--sample-every", "1000", "--measure", "100", "--measure-final", "100", "--measure-sets", "2"]
# Of a row of stats.jsonl or a manifest: what is of the clock, the machine or the folder it happened to be in
_FLEETING = ("second", "time", "memory", "git_revision", "hardware", "environment", "out", "models", "data", "created", "threads")
_HEADERS = ("content-type", "x-seed", "x-model", "cache-control", "vary", "content-disposition", "retry-after", "allow")


def digests(checkout: Path) -> dict[str, str]:
    """Name -> digest of everything that is trained, exported and answered."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in sorted((checkout / "models").iterdir()):
            if (model / "model.json").is_file():
                shutil.copytree(model, folder / "models" / model.name)
        for recipe, flags in _RECIPES.items():
            print(f"training {recipe}", file=sys.stderr)
            _train(checkout, folder, recipe, flags)
            found |= _of_run(recipe, next((folder / "runs" / recipe).iterdir()), folder / "models" / recipe)
        print("asking", file=sys.stderr)
        settings = {"PYTHONPATH": str(checkout), "GAN_THREADS": "1", "GAN_MAX_N": "64"}
        with (
            running("ours", folder / "models" / "dcgan", checkout, **settings),
            httpx2.Client(base_url=ADDRESS, timeout=60) as client,
        ):
            for method, target, sent in _requests():
                name = " ".join([method, target, "" if sent is None else json.dumps(sent)]).strip()
                found[name] = _of_answer(client.request(method, target, json=sent))
            for path, body in (("/generate", b"{"), ("/generate", b"[]"), ("/interpolate", b"")):
                found[f"POST {path} {body!r}"] = _of_answer(
                    client.post(path, content=body, headers={"Content-Type": "application/json"})
                )
            noise = io.BytesIO()
            np.save(noise, np.random.default_rng(0).standard_normal((3, 100), np.float32))
            found["POST /generate noise.npy"] = _of_answer(
                client.post(
                    "/generate?model=dcgan&format=npz", content=noise.getvalue(), headers={"Content-Type": "application/x-npy"}
                )
            )
    return found


def _environment(checkout: Path) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("GAN_")}
    return given | {"PYTHONPATH": str(checkout), "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}


def _train(checkout: Path, folder: Path, recipe: str, flags: list[str]) -> None:
    data = checkout / "tests" / "data" / "fashion-mnist-small"
    where = ["--data", str(data), "--name", recipe, "--out", str(folder / "runs" / recipe), "--models", str(folder / "models")]
    command = [sys.executable, "-m", "training.run", *where, *_COMMON, *flags]
    done = subprocess.run(command, cwd=checkout, env=_environment(checkout), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.digests: {' '.join(command)}: {done.stderr[-2000:]}")


def _of_run(recipe: str, run: Path, model: Path) -> dict[str, str]:
    """Digests of the exported files by their bytes, of the last checkpoint by its tensors, and of the metrics."""
    found = {f"{recipe}: {name}": _digest((model / name).read_bytes()) for name in ("generator.safetensors", "generator.onnx")}
    checkpoint = max(run.glob("checkpoint-*"))
    for name, tensor in sorted(load_file(checkpoint).items()):
        found[f"{recipe}: {checkpoint.name}, {name}"] = _digest(tensor.tobytes())
    rows = [json.loads(row) for row in (run / "stats.jsonl").read_text().splitlines()]
    found[f"{recipe}: stats.jsonl"] = _digest(json.dumps([_lasting(row) for row in rows], sort_keys=True).encode())
    manifest = _lasting(json.loads((model / "model.json").read_text()))
    manifest["files"].pop("generator.torchscript.pt")  # whose archive holds names of the code
    for field, value in manifest.items():
        found[f"{recipe}: model.json, {field}"] = _digest(json.dumps(value, sort_keys=True).encode())
    return found


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items() if not any(word in name for word in _FLEETING)}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def _requests() -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Method, target and fields of each request."""
    for model in (*_RECIPES, "fashion-mnist", "fashion-mnist-dcgan"):
        yield "POST", "/generate", {"model": model, "seed": 7}
        yield "POST", "/generate", {"model": model, "seeds": [3, 4294967295, 3], "format": "npz"}
        yield "GET", f"/generate?model={model}&seed=11&n=9", None
        yield "POST", "/interpolate", {"model": model, "seeds": [1, 2], "frames": 5, "format": "npz"}
        yield "GET", f"/models/{model}", None
    for kind in ("png", "webp", "jpeg", "zip", "npz", "json"):
        yield "POST", "/generate", {"seed": 5, "n": 5, "format": kind}
        yield "GET", f"/generate?seed=5&n=5&format={kind}&model=acgan&label=Bag", None
    for kind in ("webp", "gif", "png", "zip"):
        yield "POST", "/interpolate", {"seeds": [1, 2, 3], "frames": 7, "format": kind, "loop": True, "fps": 8.0}
    yield "POST", "/generate", {"model": "acgan", "seed": 1, "n": 3, "label": ["Bag", 2, "Coat"], "scale": 3, "columns": 3}
    yield "POST", "/generate", {"model": "infogan", "seed": 1, "n": 2, "codes": {"kind": 2, "slant": [0.5, -1]}, "format": "npz"}
    yield "POST", "/generate", {"seed": 1, "truncation": 0.5, "n": 2}
    yield "POST", "/generate", {"noise": [[0.5] * 100, [-0.5] * 100], "format": "npz"}
    yield "GET", "/models", None
    # What is refused
    yield "POST", "/generate", {"seed": -1}
    yield "POST", "/generate", {"n": 65}
    yield "POST", "/generate", {"sed": 1}
    yield "POST", "/generate", {"model": "nobody"}
    yield "POST", "/generate", {"model": "acgan", "label": "bag"}
    yield "POST", "/generate", {"label": "Bag"}
    yield "GET", "/generate?seed=x", None
    yield "POST", "/interpolate", {"seeds": [1]}
    yield "DELETE", "/generate", None
    yield "GET", "/nowhere", None


def _of_answer(answer: httpx2.Response) -> str:
    """Digest of status, headers and body; lists of models without fields that may be added, archives by their contents."""
    headers = [f"{name}: {sorted(answer.headers.get(name, '').split(', '))}" for name in _HEADERS]  # Allow comes in any order
    body = answer.content
    if answer.headers.get("content-type") == "application/json":
        body = json.dumps(_lasting(answer.json()), sort_keys=True).encode()
    elif zipfile.is_zipfile(io.BytesIO(body)):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    return f"{answer.status_code} {_digest(chr(10).join(headers).encode() + body)}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def main() -> int:
    """Take the digests; write or compare them."""
    parser = argparse.ArgumentParser("python -m benchmarks.digests", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--of", type=Path, default=ROOT, help="the checkout (default: this one)")
    parser.add_argument("--out", type=Path, help="where to write the digests, as JSON")
    parser.add_argument("--against", type=Path, help="digests to compare with")
    given = parser.parse_args()
    found = digests(given.of.resolve())
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} digests, {_digest(json.dumps(found).encode())} of them all")
    if given.against is None:
        return 0
    before = json.loads(given.against.read_text())
    changed = [name for name in sorted(before.keys() | found.keys()) if before.get(name) != found.get(name)]
    print(*(f"{name}: {before.get(name)} -> {found.get(name)}" for name in changed), f"{len(changed)} differ", sep="\n")
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
