"""The parts of model.json, version 2; `gan.manifest.Manifest` is the whole of it."""

from math import prod
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gan.latents import Distribution

NAME = r"[a-z0-9][a-z0-9._-]{0,99}"


class ManifestModel(BaseModel):
    """Base of all parts of a manifest: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(ManifestModel):
    """Which network family the weights belong to, and the arguments that build its generator."""

    name: str
    arguments: dict[str, Any]  # of any JSON type


class Export(ManifestModel):
    """How far an exported file is from the network."""

    largest_difference: float  # over all components of all images, which lie in [-1, 1]
    tolerance: float  # over which the export would have been refused
    latents: int  # that were compared


class Sampling(ManifestModel):
    """Defaults for requests."""

    truncation: float | None = Field(None, ge=0, le=1)
    truncation_space: Literal["z", "w"] = "z"  # what is truncated: latent vectors, or styles


class Styles(ManifestModel):
    """What a generator's mapping network makes of an image's other inputs: one style vector for each layer of the generator."""

    layers: int = Field(ge=1)
    size: int = Field(ge=1)  # components of a style


class Environment(ManifestModel):
    """What a training run was started with, beside its configuration."""

    git_revision: str | None  # None outside a git checkout; ends in -dirty if files were changed
    libraries: dict[str, str]  # name -> version
    hardware: str  # device, threads and precision


class Trained(ManifestModel):
    """The run that a model comes from, so that it can be trained again."""

    kind: Literal["trained"] = "trained"

    dataset: str
    dataset_fingerprint: str  # SHA-256 over the images as the network saw them
    dataset_pictures: int
    config: dict[str, Any]  # the training run's, fully resolved
    environment: Environment
    seed: int
    pictures_seen: int
    wall_time_seconds: float


class Imported(ManifestModel):
    """Where a model of another program comes from."""

    kind: Literal["imported"] = "imported"
    source: str  # the file's name or address, for people
    digest: str  # SHA-256 of the file that was imported
    command: str | None = None  # that imported it, without folders


class Protocol(ManifestModel):
    """How a figure was measured, field by field. Two figures compare where all fields but `seeds` and `sets` are the same."""

    features: str | None = None  # the network whose features are compared; None: pixels, or classes
    generated: int | None = None  # images of one set
    references: int | None = None  # real images that they are compared with
    against: str | None = None  # "held-out" or "training" images
    purpose: Literal["selection", "test"] | None = None  # whether these images chose the model, or only report on it
    seeds: str = ""  # that the images were generated from, for people
    sets: int = 1  # of images, each of other seeds; the value is their mean


class Metric(ManifestModel):
    """A measured quality; the protocol says how, since two numbers compare only under the same one."""

    name: str
    value: float
    protocol: str  # for people: features, counts, split, sizes, parameters
    real: float | None = None  # what real images that are not the reference get under the same protocol
    deviation: float | None = (
        None  # standard deviation from one set of images to another; None: one set, or a manifest of version 1
    )
    real_deviation: float | None = None  # the same of the real images
    measured: Protocol | None = None  # the protocol's fields; None in manifests of version 1


class Array(ManifestModel):
    """An input or output of the networks."""

    name: str
    shape: list[int | Literal["n"]]  # of a batch of n rows

    @property
    def values(self) -> int:
        """Numbers in a row."""
        return prod(side for side in self.shape if side != "n")


class Input(Array):
    """One input of the networks."""

    role: Literal["latent", "label", "code"]
    dtype: Literal["float32", "int64"]
    distribution: Distribution | None = None  # of a latent vector's components
    categories: int | None = Field(None, ge=1)  # of a label or a categorical code: its values are 0 … categories - 1
    names: list[str] | None = None  # of a label's categories: the classes
    range: tuple[float, float] | None = None  # of a continuous code in training

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.names is not None and not (len(set(self.names)) == len(self.names) == self.categories and all(self.names)):
            raise ValueError(f"{self.name} has {self.categories} categories, which need as many different names")
        return self


class Output(Array):
    """One output of the networks, of the shape [n, channels, height, width]."""

    role: Literal["image"]
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float]  # of the values; becomes 0 to 255

    @property
    def uint8_source_range(self) -> tuple[float, float]:
        """The range that becomes 0 to 255."""
        return self.range


class Network(ManifestModel):
    """One network of a model folder."""

    architecture: Architecture | None = None  # None: not built by this program
    files: dict[str, str]  # format ("weights", "onnx", "torchscript") -> name of a file of the folder
    exports: dict[str, Export] = {}  # name of an exported file -> how far it is from the network in memory
    batch: int | None = Field(None, ge=1)  # rows that exported files take at once; None: any number


class Direction(ManifestModel):
    """A direction in the latent space along which images change in one way. File `directions.safetensors` has it by its name.

    There it is float32 [z_dim], or [classes, z_dim] where each class has its own; of a model with styles, their size takes the
    place of z_dim.
    """

    name: str = Field(pattern=f"^{NAME}$")
    kind: Literal["sefa", "regression"]  # from the generator's first weights, or regressed on an attribute of its images
    about: str  # what it changes, for people
    r2: float | None = None  # coefficient of determination of the regression on images that it was not fitted to
    auroc: float | None = None  # of an attribute that is yes or no: area under the ROC curve, 0.5 to 1
    effect: float | None = None  # how far a move by +1 moves the attribute, in its standard deviations


class Scoring(ManifestModel):
    """How unusual pictures are, which the network "scorer" says."""

    quantiles: list[float] = Field(
        min_length=2
    )  # of the scores of held-out real pictures, evenly spaced from the least to the most
    pictures: int = Field(ge=1)  # held-out ones that were scored
