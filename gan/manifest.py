"""model.json: what is to be known of a model without opening its weights."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gan.latents import Code, Distribution, InputSpec
from gan.manifest_parts import (
    NAME,
    Architecture,
    Direction,
    Export,
    Imported,
    Input,
    ManifestModel,
    Metric,
    Network,
    Output,
    Sampling,
    Scoring,
    Styles,
    Trained,
)

MANIFEST = "model.json"
IMAGES = "pictures"  # how exported files name the output of a generator
STYLES = "ws"  # and its input where it takes styles, float32 [n, layers, size]
DIRECTIONS = "directions.safetensors"
GENERATOR_FILES = {"weights": "generator.safetensors", "onnx": "generator.onnx", "torchscript": "generator.torchscript.pt"}


class Manifest(ManifestModel):
    """model.json, version 2. `manifest_versions.parse_manifest` reads one of version 1 as this."""

    format_version: Literal[2] = 2
    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern="^[0-9a-f]{12}$")  # first digits of the SHA-256 of the generator's weights
    task: Literal["generate"] = "generate"
    inputs: list[Input] = Field(min_length=1)  # in the order in which networks take them
    outputs: list[Output] = Field(min_length=1, max_length=1)
    networks: dict[str, Network]  # "generator", and others that come with it: "mapping", "discriminator", "encoder", "scorer"
    styles: Styles | None = None  # of a generator that takes these, made by the network "mapping"; None: it takes `inputs`
    sampling: Sampling = Sampling(truncation=None)
    origin: Annotated[Trained | Imported, Field(discriminator="kind")]
    metrics: list[Metric] = Field([])
    directions: list[Direction] = Field([])  # along which POST /edit moves, in the file DIRECTIONS
    scoring: Scoring | None = None  # of a model with a network "scorer"
    licence: str
    files: dict[str, str]  # name -> SHA-256, for every file that is read by a program

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [one.name for one in self.inputs]
        if len(set(names)) < len(names) or any((one.name == "label") != (one.role == "label") for one in self.inputs):
            raise ValueError("two inputs of the model have one name")
        if [one.role for one in self.inputs].count("latent") != 1 or self.inputs[0].name != "z":
            raise ValueError("the first input must be the latent vector z, and the only one of its role")
        if not _are_sides(self.inputs[0].shape, 2):
            raise ValueError(f"z must have the shape n and one number of components, not {self.inputs[0].shape}")
        images = self.outputs[0].shape
        if not _are_sides(images, 4) or images[1] not in (1, 3):
            raise ValueError(f"images must have the shape n, channels, 1 or 3, height and width, not {images}")
        if "generator" not in self.networks:
            raise ValueError("there is no generator among the networks")
        if (self.styles is not None) != ("mapping" in self.networks) or (self.styles is not None) != (self.truncates == "w"):
            raise ValueError("styles, a network called mapping and the truncation space w belong together")
        if self.sampling.truncation == 0 and self.truncates == "z":
            raise ValueError("a truncation of 0 is for styles")
        if len({one.name for one in self.directions}) < len(self.directions):
            raise ValueError("two directions have one name")
        if self.directions and DIRECTIONS not in self.files:
            raise ValueError(f"there are directions, but no {DIRECTIONS} among the files")
        if (self.scoring is not None) != ("scorer" in self.networks):
            raise ValueError("scoring and a network called scorer belong together")
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
    def truncates(self) -> Literal["z", "w"]:
        """What a truncation acts on: latent vectors, or styles."""
        return self.sampling.truncation_space

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
    def attributes(self) -> list[str]:
        """What the generator's first latent components choose (`gan.attribute_table`), by name; empty for most models."""
        found = {} if self.architecture is None else self.architecture.arguments.get("attributes", {})
        return [str(name) for name in found.get("columns", [])]

    @property
    def source_file(self) -> str:
        """The file whose digest the version is: the weights, or what was imported without."""
        files = self.networks["generator"].files
        return next((files[kind] for kind in GENERATOR_FILES if kind in files), "")

    @property
    def exports(self) -> dict[str, Export]:
        """How far the generator's exported files are from it, by their names."""
        return self.networks["generator"].exports


def _are_sides(shape: Sequence[int | str], dimensions: int) -> bool:
    """Whether a shape is that of a batch of any number of rows, each of so many dimensions less one."""
    return len(shape) == dimensions and shape[0] == "n" and all(isinstance(side, int) and side > 0 for side in shape[1:])


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


def image_output(channels: int, height: int, width: int, limits: tuple[float, float] = (-1.0, 1.0)) -> Output:
    """The output of a generator, described for a manifest: images of values within the limits."""
    return Output(name=IMAGES, role="image", shape=["n", channels, height, width], range=limits)
