"""The settings of a training run. Every field is a flag of the same name; the defaults are the reference recipe."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def _parse_count(value: Any) -> Any:
    """'600k' -> 600000, '1.5M' -> 1500000; anything that is not such text is left for pydantic to judge."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", value.strip())):
        return round(float(match[1]) * _UNITS[match[2].lower()])
    return value


Count = Annotated[int, BeforeValidator(_parse_count)]


class TrainingConfig(BaseModel):
    """Fully describes a run: the same configuration on the same machine trains the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    data: str = "fashion-mnist"
    """'fashion-mnist', a folder that holds its four files, or a folder of pictures"""
    recipe: Literal["dcgan"] = "dcgan"
    """a named set of defaults; dcgan is the article's: its networks, BCE loss, Adam 2e-4 with betas 0.5 and 0.999"""
    name: str | None = Field(None, pattern="^[a-z0-9][a-z0-9._-]*$")
    """the model's name; by default that of the data and the recipe, <data>-<recipe>"""
    resolution: int = Field(32, ge=16)
    """the side of the pictures in pixels, a power of two; smaller pictures are padded, larger ones scaled down"""
    width: int = Field(128, gt=0)
    """channels of the networks' outermost hidden layer; half of it trains about three times as fast"""
    z_dim: int = Field(100, gt=0)
    """components of a latent vector"""
    batch_size: int = Field(64, gt=1)
    """pictures per step; smaller takes more steps for the same pictures, which on a processor counts most"""
    learning_rate: float = Field(2e-4, gt=0)
    """Adam's, for both networks"""
    beta1: float = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean of gradients; 0.9 makes the game oscillate"""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean of squared gradients"""
    ema_half_life: Count = Field(10_000, gt=0)
    """pictures after which a weight counts half in the moving average of the generator; longer is smoother but slower"""
    images: Count = Field(800_000, gt=0)
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
    sample_every: Count = Field(20_000, gt=0)
    """pictures between two sample grids"""
    checkpoint_every: Count = Field(50_000, gt=0)
    """pictures between two checkpoints"""
