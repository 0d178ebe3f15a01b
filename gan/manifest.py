"""model.json: what is to be known of a model without opening its weights."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gan.errors import ModelFolderError
from gan.latents import Code, Distribution, InputSpec

MANIFEST = "model.json"

ArchitectureName = Literal["mlp", "dcgan", "resnet", "r3gan"]  # the network families, one file each in gan/networks/

_NAME = r"[a-z0-9][a-z0-9._-]{0,99}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Part):
    """Which network family the weights belong to, and the arguments that build its generator."""

    name: ArchitectureName
    arguments: dict[str, int]


class Export(_Part):
    """How far an exported file is from the network in memory."""

    largest_difference: float  # over all components of all images, which lie in [-1, 1]
    tolerance: float  # over which the export would have been refused
    latents: int  # that were compared


class Sampling(_Part):
    """What a request gets that does not say otherwise."""

    truncation: float | None = Field(None, gt=0, le=1)


class Environment(_Part):
    """What a training run was started with, beside its configuration."""

    git_revision: str | None  # None outside a git checkout; ends in -dirty if files were changed
    libraries: dict[str, str]  # name -> version
    hardware: str  # device, threads and precision


class Origin(_Part):
    """Where the weights came from, so that they can be made again."""

    dataset: str
    dataset_fingerprint: str  # SHA-256 over the images as the network saw them
    dataset_pictures: int
    config: dict[str, Any]  # the training run's, fully resolved
    environment: Environment
    seed: int
    pictures_seen: int
    wall_time_seconds: float


class Metric(_Part):
    """A measured quality; the protocol says how, since two numbers compare only under the same one."""

    name: str
    value: float
    protocol: str  # features, counts, split, sizes, parameters
    real: float | None = None  # what real images that are not the reference get under the same protocol


class Manifest(_Part):
    """model.json: all that is to be known of a model without opening its weights."""

    format_version: Literal[1] = 1
    name: str = Field(pattern=f"^{_NAME}$")
    version: str = Field(pattern="^[0-9a-f]{12}$")  # first digits of the SHA-256 of the weights
    architecture: Architecture
    z_dim: int = Field(gt=0)
    latent: Distribution = "normal"
    channels: Literal[1, 3]
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    classes: list[str] | None = Field(None, min_length=1)  # names of the labels, absent for an unconditional model
    codes: list[Code] = []
    sampling: Sampling = Sampling(truncation=None)
    exports: dict[str, Export]
    origin: Origin
    metrics: list[Metric] = []
    licence: str
    files: dict[str, str]  # name -> SHA-256, for every file that is read by a program

    @model_validator(mode="after")
    def _name_inputs_apart(self) -> Self:
        names = self.space.names
        if len(set(names)) < len(names) or "label" in [code.name for code in self.codes]:
            raise ValueError("two inputs of the model have one name")
        return self

    @property
    def space(self) -> InputSpec:
        """What the generator draws from."""
        return InputSpec(self.z_dim, self.latent, None if self.classes is None else len(self.classes), tuple(self.codes))


def parse_manifest(text: bytes, where: str) -> Manifest:
    """What the model.json found at `where` says. Raises ModelFolderError as `read` does."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        remedy = "" if first["type"] == "json_invalid" else ", or update this program if a newer one wrote it"
        raise ModelFolderError(
            f"{where} is not a manifest this version understands ({field}: {first['msg']}): copy the model folder again{remedy}"
        ) from error
    for name in manifest.files:
        if Path(name).name != name or name in ("", "..", MANIFEST) or "\0" in name:
            raise ModelFolderError(f"{where} names a file that is none of its folder's ({name!r}): do not use this model folder")
    return manifest
