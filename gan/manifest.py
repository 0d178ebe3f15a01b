"""model.json: what is to be known of a model without opening its weights."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gan.latents import Code, Distribution, InputSpec

MANIFEST = "model.json"
IMAGES = "pictures"  # how exported files name the output of a generator
GENERATOR_FILES = {"weights": "generator.safetensors", "onnx": "generator.onnx", "torchscript": "generator.torchscript.pt"}


NAME = r"[a-z0-9][a-z0-9._-]{0,99}"


class ManifestModel(BaseModel):
    """Base of all parts of a manifest: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(ManifestModel):
    """Which network family the weights belong to, and the arguments that build its generator."""

    name: str
    arguments: dict[str, Any]  # of any JSON type


class Export(ManifestModel):
    """How far an exported file is from the network in memory."""

    largest_difference: float  # over all components of all images, which lie in [-1, 1]
    tolerance: float  # over which the export would have been refused
    latents: int  # that were compared


class Sampling(ManifestModel):
    """Defaults for requests."""

    truncation: float | None = Field(None, gt=0, le=1)


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


class Manifest(ManifestModel):
    """model.json, version 2. `manifest_versions.parse_manifest` reads one of version 1 as this."""

    format_version: Literal[2] = 2
    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern="^[0-9a-f]{12}$")  # first digits of the SHA-256 of the generator's weights
    task: Literal["generate"] = "generate"
    inputs: list[Input] = Field(min_length=1)  # in the order in which networks take them
    outputs: list[Output] = Field(min_length=1, max_length=1)
    networks: dict[str, Network]  # "generator", and others that come with it, such as "discriminator"
    sampling: Sampling = Sampling(truncation=None)
    origin: Annotated[Trained | Imported, Field(discriminator="kind")]
    metrics: list[Metric] = []
    licence: str
    files: dict[str, str]  # name -> SHA-256, for every file that is read by a program

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [one.name for one in self.inputs]
        if len(set(names)) < len(names) or any((one.name == "label") != (one.role == "label") for one in self.inputs):
            raise ValueError("two inputs of the model have one name")
        if [one.role for one in self.inputs].count("latent") != 1 or self.inputs[0].name != "z":
            raise ValueError("the first input must be the latent vector z, and the only one of its role")
        if "generator" not in self.networks:
            raise ValueError("there is no generator among the networks")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, and nothing in it that was computed from fields that `update` replaces."""
        copied = super().model_copy(update=update, deep=deep)
        for name in _COMPUTED_ONCE:
            copied.__dict__.pop(name, None)
        return copied

    # What serving and training ask for most. Every request asks for some of it.

    @cached_property
    def input_spec(self) -> InputSpec:
        """The inputs of the generator, as `gan.latents` generates them from a seed."""
        latent = self.inputs[0]
        label = next((one for one in self.inputs if one.role == "label"), None)
        codes = tuple(Code(one.name, one.categories) for one in self.inputs if one.role == "code")
        return InputSpec(self.z_dim, latent.distribution or "normal", None if label is None else label.categories, codes)

    @property
    def z_dim(self) -> int:
        """Components of a latent vector."""
        return int(self.inputs[0].shape[1])

    @property
    def latent(self) -> Distribution:
        """What the components are drawn from."""
        return self.input_spec.distribution

    @cached_property
    def codes(self) -> list[Code]:
        """InfoGAN's codes, in the networks' order."""
        return list(self.input_spec.codes)

    @cached_property
    def classes(self) -> list[str] | None:
        """Names of the labels; None for an unconditional model."""
        return next((one.names for one in self.inputs if one.role == "label"), None)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return int(self.outputs[0].shape[1])

    @property
    def height(self) -> int:
        """Height of an image in pixels."""
        return int(self.outputs[0].shape[2])

    @property
    def width(self) -> int:
        """Width of an image in pixels."""
        return int(self.outputs[0].shape[3])

    @property
    def architecture(self) -> Architecture | None:
        """The generator's; None if it was not built by this program."""
        return self.networks["generator"].architecture

    @property
    def exports(self) -> dict[str, Export]:
        """How far the generator's exported files are from it, by their names."""
        return self.networks["generator"].exports


_COMPUTED_ONCE = [name for name, value in vars(Manifest).items() if isinstance(value, cached_property)]


def generator_inputs(input_spec: InputSpec, classes: Sequence[str] | None) -> list[Input]:
    """The inputs of a generator, described for a manifest; `classes` are the labels' names."""
    found = [Input(name="z", role="latent", dtype="float32", shape=["n", input_spec.z_dim], distribution=input_spec.distribution)]
    if classes is not None:
        found.append(Input(name="label", role="label", dtype="int64", shape=["n"], categories=len(classes), names=list(classes)))
    for code in input_spec.codes:
        if code.categories is None:
            found.append(Input(name=code.name, role="code", dtype="float32", shape=["n"], range=(-1.0, 1.0)))
        else:
            found.append(Input(name=code.name, role="code", dtype="int64", shape=["n"], categories=code.categories))
    return found


def image_output(channels: int, height: int, width: int) -> Output:
    """The output of a generator of this program, described for a manifest."""
    return Output(name=IMAGES, role="image", shape=["n", channels, height, width], range=(-1.0, 1.0))
