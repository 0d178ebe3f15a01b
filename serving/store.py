"""Model folders into BentoML's model store, and out of it.

python -m serving.store import models/shoes
python -m serving.store export shoes:latest --to models
"""

import argparse
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from gan import model_folder
from gan.errors import ModelFolderError
from gan.manifest import MANIFEST
from gan.paths import user_path


def import_folder(path: Path) -> str:
    """Copy a verified model folder into the store, unless it is there; returns its tag, name:version.

    Raises ModelFolderError.
    """
    manifest = model_folder.read(path).manifest
    tag = f"{manifest.name}:{manifest.version}"
    with suppress(BentoMLException):  # there is none, or the name is not allowed, which creating it reports
        stored = Path(bentoml.models.get(tag).path)
        if (stored / MANIFEST).read_bytes() == (path / MANIFEST).read_bytes():
            return tag
        raise ModelFolderError(
            f"{tag} in BentoML's store is not {path}, which was exported anew: `bentoml models delete {tag}` first"
        )
    try:
        with bentoml.models.create(tag, labels={"licence": manifest.licence}) as model:
            shutil.copytree(path, model.path, dirs_exist_ok=True)
    except (BentoMLException, ValueError) as error:
        raise ModelFolderError(f"BentoML's store does not take {tag} ({error}): give the model another name") from error
    return tag


def export_folder(tag: str, models: Path) -> Path:
    """Copy a model of the store into a folder of models, in one step, replacing the one of its name; returns its path.

    Raises ModelFolderError.
    """
    try:
        model = bentoml.models.get(tag)
    except BentoMLException as error:
        raise ModelFolderError(
            f"there is no model {tag} in BentoML's store: `bentoml models list` shows those there are"
        ) from error
    source = Path(model.path)
    target = models / model_folder.read(source).manifest.name
    model_folder.copy(source, target, replace=True, leave_out=("model.yaml",))  # a file of BentoML's
    return target


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.store", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import", help="a model folder into the store")
    importing.add_argument("folder", type=user_path)
    exporting = commands.add_parser("export", help="a model of the store into a folder of models")
    exporting.add_argument("tag", help="name, name:version or name:latest")
    exporting.add_argument(
        "--to", type=user_path, required=True, metavar="MODELS", help="the folder of models, as GAN_MODELS names it"
    )
    options = parser.parse_args(arguments)
    try:
        print(import_folder(options.folder) if options.command == "import" else export_folder(options.tag, options.to))
    except ModelFolderError as error:
        print(f"serving.store: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
