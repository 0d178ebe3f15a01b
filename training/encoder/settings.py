"""The settings of an encoder's training. Every field is a flag of the same name."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.config.values import Count


class EncoderConfig(BaseModel):
    """Fully describes the training of an encoder of a given model on given images. Needs no torch."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    images: Count = 600_000
    """length of the training in real images seen, such as 600k or 2M; the learning rate falls to its end along a half cosine"""
    width: int = Field(64, gt=0, le=1024)
    """channels of the encoder's outermost layer; doubles at each layer away from the image"""
    kappa: float = Field(0.1, ge=0)
    """weight of the error in the discriminator's features, beside that in pixels, each in units of its variance over real images;
    of no meaning for a model without a discriminator"""
    regression: float = Field(0.05, ge=0)
    """weight of the error in the latent vectors of generated images, which are known; without, a step takes a third less time"""
    attributes: float = Field(1.0, ge=0)
    """weight of the error in telling the attributes of generated images, which are known; of no meaning for a model without"""
    prior: float = Field(0.01, ge=0)
    """weight of the latent vectors' mean square, which keeps them where the generator was trained"""
    batch_size: int = Field(32, gt=1)
    """real images per step; as many generated ones come to them"""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Adam's, at the start"""
    seed: int = Field(0, ge=0, lt=2**32)
    """of the start weights, the order of the data and the latent vectors"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes the GPU where there is one"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto computes in bfloat16 where the processor or the GPU has instructions for it; weights stay float32"""
    threads: int | None = Field(None, gt=0, le=4096)
    """processor threads, by default all; another number gives slightly other weights"""
    checkpoint_every: Count = 20_000
    """images between two checkpoints, each of which is measured on held-out images; the best is the result"""
