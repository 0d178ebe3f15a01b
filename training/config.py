"""The settings of a training run. Every field is a flag of the same name; the defaults are the reference recipe."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gan.latents import Distribution, Space
from training.objectives import ObjectiveName
from training.recipes import RECIPES, RecipeName

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def _parse_count(value: Any) -> Any:
    """'600k' -> 600000, '1.5M' -> 1500000; anything that is not such text is left for pydantic to judge."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", value.strip())):
        return int(Decimal(match[1]) * _UNITS[match[2].lower()])
    return value


Count = Annotated[int, BeforeValidator(_parse_count), Field(gt=0, le=10**12)]


class TrainingConfig(BaseModel):
    """Fully describes a run: the same configuration on the same machine trains the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    data: str = "fashion-mnist"
    """'fashion-mnist', a folder that holds its four files, or a folder of pictures"""
    recipe: RecipeName = "dcgan"
    """a named set of defaults, each of which a flag can override; dcgan is the article's"""
    name: str | None = Field(None, pattern="^[a-z0-9][a-z0-9._-]{0,99}$")
    """the model's name; by default that of the data and the recipe, <data>-<recipe>"""
    resolution: int = 32
    """the side of the pictures in pixels, a power of two from 16 up; Fashion-MNIST is padded to it, other pictures are scaled"""
    width: int = Field(128, gt=0)
    """channels of the networks' outermost hidden layer; half of it trains about three times as fast"""
    discriminator_norm: Literal["batch", "none"] = "batch"
    """batch normalisation in the discriminator, or none, as penalties want it, which are on each picture by itself"""
    z_dim: int = Field(100, gt=0)
    """components of a latent vector"""
    latent: Distribution = "normal"
    """what they are drawn from: N(0, 1) or U(-1, 1)"""
    conditional: bool = False
    """learn the labels, Fashion-MNIST's or the folders that pictures are in, so that pictures can be asked for by label"""
    objective: ObjectiveName = "nonsaturating"
    """what the players minimise"""
    r1: float = Field(0.0, ge=0)
    """gamma of the penalty on the discriminator's gradient at real pictures; steadier, and at least twice the time for a step"""
    r2: float = Field(0.0, ge=0)
    """the same at generated pictures"""
    gradient_penalty: float = Field(0.0, ge=0)
    """weight of WGAN-GP's penalty, which holds the discriminator's gradient at 1 between real and generated pictures"""
    penalty_every: int = Field(1, gt=0)
    """discriminator steps between two penalties, which then count so many times; cheaper, a little less steady"""
    weight_clip: float | None = Field(None, gt=0)
    """WGAN: after each step the discriminator's weights are cut off at this"""
    augment: Literal["none", "diffaugment"] = "none"
    """change what the discriminator sees, for sets of a few thousand pictures or less, which it would learn by heart"""
    batch_size: int = Field(64, gt=1)
    """pictures per step; smaller takes more steps for the same pictures, which on a processor counts most"""
    discriminator_steps: int = Field(1, gt=0)
    """steps of the discriminator for each of the generator's"""
    learning_rate: float = Field(2e-4, gt=0, le=1)
    """Adam's, for both networks"""
    generator_learning_rate: float | None = Field(None, gt=0, le=1)
    """Adam's for the generator, if another"""
    beta1: float = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean of gradients; 0.9 makes the game oscillate"""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean of squared gradients"""
    ema_half_life: Count = 10_000
    """pictures after which a weight counts half in the moving average of the generator; longer is smoother but slower"""
    images: Count = 800_000
    """length of the run in pictures seen by the discriminator, such as 600k or 2M"""
    minutes: float | None = Field(None, gt=0)
    """stop after so many minutes of training even if not all --images are seen"""
    seed: int = Field(0, ge=0, lt=2**32)
    """of the start weights, the order of the data and the noise"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes the GPU where there is one"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto computes in bfloat16 where the processor or the GPU has instructions for it; weights stay float32"""
    threads: int | None = Field(None, gt=0)
    """processor threads, by default all; another number gives slightly other weights"""
    sample_every: Count = 20_000
    """pictures between two sample grids"""
    checkpoint_every: Count = 50_000
    """pictures between two checkpoints"""

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_recipe(cls, given: Any) -> Any:
        """What is given overrides the recipe, which overrides the defaults."""
        if not isinstance(given, dict):
            return given
        return {**RECIPES.get(given.get("recipe", "dcgan"), {}), **given}

    @field_validator("resolution")
    @classmethod
    def _is_power_of_two(cls, resolution: int) -> int:
        if resolution < 16 or resolution & (resolution - 1):
            raise ValueError("take a power of two from 16 up, such as 32 or 64")
        return resolution

    def space(self, classes: int | None) -> Space:
        """What the generator draws from; `classes` is None for a game without labels."""
        return Space(self.z_dim, self.latent, classes)

    def is_reached(self, seen: int, seconds: float) -> bool:
        """Whether a run that has seen so many pictures in so many seconds is as long as it was to be."""
        return seen >= self.images or (self.minutes is not None and seconds >= 60 * self.minutes)
