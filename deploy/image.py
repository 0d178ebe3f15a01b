"""Makes the image of a bento with docker or podman, whichever is there: `make container`.

python -m deploy.image gan-service:VERSION
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import bentoml
import bentoml.container
from bentoml._internal.bento.bento import BentoInfoV2

from deploy import sbom
from gan import model_folder

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "image"

MEMORY = {"cpu": "1280m", "openvino": "1280m", "gpu": "4g"}  # that a container of each kind is given
_GPUS = {"docker": "--gpus all", "podman": "--device nvidia.com/gpu=all"}
HOW_TO_RUN = """
{image}: {megabytes:.0f} MB. What is in it: {sbom}, {licences}

    {engine} run --detach --name gan-service --publish 127.0.0.1:3000:3000 --stop-timeout 40 \\
        --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \\
        --memory {memory} --cpus 2 --pids-limit 256 {options}{image}

docs/deploy.md has the rest."""


def find_engine() -> str:
    """The name of an engine that works here: docker if its daemon answers, or podman. SystemExit with a sentence if none does."""
    for engine in ("docker", "podman"):
        if shutil.which(engine) and subprocess.run([engine, "info"], capture_output=True).returncode == 0:
            # Debian's package podman-docker calls podman docker.
            named = subprocess.run([engine, "--version"], capture_output=True, text=True).stdout.lower()
            return "podman" if "podman" in named else engine
    raise SystemExit(
        "neither docker nor podman works here: install one, or run `. tests/container/engine.sh`, which installs podman on Debian"
    )


def own_authorities(folder: Path) -> dict[str, Any]:
    """Options of podman's builds on a machine with certificate authorities or a package index of its own, told by its environment.

    What they name is mounted while the bento's packages are installed, and gets into no image.
    """
    index = os.environ.get("PIP_INDEX_URL")
    volumes = []
    if certificates := os.environ.get("SSL_CERT_FILE"):
        volumes.append(f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro")
    (folder / "uv.toml").write_text("system-certs = true\n" + (f'index-url = "{index}"\n' if index else ""))
    (folder / "pip.conf").write_text(f"[global]\nindex-url = {index}\n" if index else "")
    volumes += [f"{folder}/uv.toml:/etc/uv/uv.toml:ro", f"{folder}/pip.conf:/etc/pip.conf:ro"]
    return {"volume": volumes}


def containerfile(bento: bentoml.Bento) -> str:
    """deploy/Containerfile, and the environment that the bento asks for."""
    variables = [f"ENV {variable.name}={json.dumps(variable.value)}\n" for variable in bento.info.envs]
    return (HERE / "Containerfile").read_text() + "".join(variables)


def newest(name: str, kind: str) -> str:
    """The name under which the image of a kind that was built last is found."""
    return f"{name}:{'latest' if kind == 'cpu' else kind}"


def intermediate(image: str) -> str:
    """The name of what BentoML makes on the way to an image. It stays, so that the next build need not install all again."""
    return f"{image}-bento"


def build(bento: bentoml.Bento, engine: str, image: str) -> None:
    """Build the image under this name. SystemExit if it fails; the engine has said why."""
    with tempfile.TemporaryDirectory() as folder:
        containerize: Any = bentoml.container.build  # whose overloads know of one volume only
        options = own_authorities(Path(folder)) if engine == "podman" else {}
        if containerize(bento.tag, backend=engine, image_tag=(intermediate(image),), **options) is None:
            raise SystemExit(f"{engine} could not build the image of {bento.tag}: its output above says why")
        file = Path(folder) / "Containerfile"
        file.write_text(containerfile(bento))
        arguments = [
            "--build-arg",
            f"BENTO={intermediate(image)}",
            "--build-arg",
            f"BASE={cast('BentoInfoV2', bento.info).image.base_image}",
        ]
        # Podman's own format has no health checks.
        form = ["--format", "docker"] if engine == "podman" else []
        if subprocess.run([engine, "build", *form, *arguments, "--tag", image, "--file", str(file), folder]).returncode:
            raise SystemExit(f"{engine} could not build {image}: its output above says why")


def take_stock(image: str, bento: bentoml.Bento, engine: str, out: Path) -> tuple[Path, Path]:
    """Write what is in the image, and its licences, into a folder; returns where."""
    found = sbom.inventory(image, engine)
    manifests = [model_folder.read_manifest(path) for path in model_folder.discover(Path(bento.path_of("src")) / "models")]
    stem = str(bento.tag).replace(":", "-")
    bill, licences = out / f"{stem}.cdx.json", out / f"{stem}.licences.txt"
    bill.write_text(sbom.bill_of_materials(image, bento.creation_time, found, manifests))
    licences.write_text(sbom.licence_texts(found, manifests))
    return bill, licences


def main(tag: str) -> None:
    """Build, take stock, and say how to run it."""
    engine = find_engine()
    bento = bentoml.get(tag)
    image = str(bento.tag)
    build(bento, engine, image)
    OUT.mkdir(parents=True, exist_ok=True)
    bill, licences = take_stock(image, bento, engine, OUT)
    kind = bento.info.args.get("kind", "cpu")
    subprocess.run([engine, "tag", image, newest(bento.tag.name, kind)], check=True)
    size = int(subprocess.check_output([engine, "image", "inspect", image, "--format", "{{.Size}}"]))
    print(
        HOW_TO_RUN.format(
            image=image,
            megabytes=size / 1e6,
            sbom=bill.relative_to(HERE.parent),
            licences=licences.relative_to(HERE.parent),
            engine=engine,
            memory=MEMORY[kind],
            # So that a GPU that cannot be reached stops the start
            options=f"{_GPUS[engine]} --env GAN_DEVICE=cuda " if kind == "gpu" else "",
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
