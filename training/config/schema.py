"""The configuration of a run: all settings, and what they come to together."""

from typing import Any, Self

from pydantic import model_validator

from gan.latents import Code, InputSpec
from gan.networks import families
from gan.networks.layers.base_grid import Size
from training.config.points import contradiction, is_points, things_of
from training.config.settings import Settings
from training.config.values import parse_size


class TrainingConfig(Settings):
    """Fully describes a run: the same configuration on the same machine trains the same weights."""

    @classmethod
    def _defaults_of(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The recipe, which overrides what its network family wants."""
        recipe = super()._defaults_of(given)
        arch = given.get("arch", recipe.get("arch", "dcgan"))
        family = families.get(arch).defaults if isinstance(arch, str) and arch in families.names() else {}
        return {**family, **recipe}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.is_points and (why := contradiction(self)) is not None:
            raise ValueError(why)
        codes = [code.name for code in self.input_spec(None).codes]
        if len(set(codes)) < len(codes) or {"z", "label"} & set(codes):
            raise ValueError("--codes: every code needs a name of its own, and z and label are taken")
        if any(code.categories is not None and code.categories < 2 for code in self.input_spec(None).codes):
            raise ValueError("--codes: a code like kind=10 needs at least two kinds")
        family = families.get(self.arch)
        if self.discriminator_norm not in family.norms:
            raise ValueError(
                f"--discriminator-norm {self.discriminator_norm}: {self.arch}'s discriminator does not take it; "
                f"take {' or '.join(family.norms)}"
            )
        if self.aux_classifier_weight and not self.conditional:
            raise ValueError("--aux-classifier-weight: an auxiliary classifier learns labels: add --conditional")
        if self.aux_classifier_weight and family.discriminator_takes_label:
            raise ValueError(
                f"--aux-classifier-weight: {self.arch}'s discriminator is given the label and need not classify it; "
                "take another --arch"
            )
        bounded = self.weight_clip or self.gradient_penalty or self.discriminator_norm == "spectral"
        if self.objective in ("wgan", "wgan-gp") and not bounded:
            raise ValueError(
                f"--objective {self.objective} needs a critic that is held in bounds: add --weight-clip 0.01, "
                "--gradient-penalty 10 --discriminator-norm none, or --discriminator-norm spectral"
            )
        if self.attribute_columns and self.attributes is None:
            raise ValueError("--attribute-columns: of which table? add --attributes")
        if self.encoder_images is not None and self.codes:
            raise ValueError("--encoder-images: an encoder finds no codes: leave out either this or --codes")
        ends = [name for name in ("learning_rate_end", "penalty_end", "beta2_end") if getattr(self, name) is not None]
        if ends and self.anneal_images is None:
            raise ValueError(f"--{ends[0].replace('_', '-')} needs --anneal-images, the images over which it is reached")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        micro, group = self.micro_batch_size, self.batch_norm_group
        if micro is not None and self.batch_size % micro:
            raise ValueError(f"--micro-batch-size {micro} does not divide --batch-size {self.batch_size}: take a divisor of that")
        if micro == 1 and (self.aux_classifier_weight or self.codes or self.attributes is not None):
            raise ValueError("--micro-batch-size 1: the auxiliary head's batch normalisation needs two images or more at once")
        if group is not None and self.sync_batch_norm:
            raise ValueError("--batch-norm-group: groups are smaller than a process's share: leave out this or --sync-batch-norm")
        if group is not None and self.batch_size % group:
            raise ValueError(f"--batch-norm-group {group} does not divide --batch-size {self.batch_size}: take a divisor of that")
        if group is not None and micro is not None and micro % group:
            raise ValueError(f"--batch-norm-group {group} does not divide --micro-batch-size {micro}: take a divisor of that")
        return self

    @property
    def is_points(self) -> bool:
        """Whether the data are points in the plane."""
        return is_points(self.data)

    @property
    def things(self) -> str:
        """What the run generates, in a word for people: images or points."""
        return things_of(self.data)

    @property
    def size(self) -> Size:
        """Height and width of the images in pixels."""
        return parse_size(self.resolution)

    @property
    def trackers(self) -> list[str]:
        """The names in --log."""
        return [] if self.log == "none" else self.log.split(",")

    @property
    def wanted_attributes(self) -> list[str]:
        """The names in --attribute-columns."""
        return [name.strip() for name in self.attribute_columns.split(",") if name.strip()]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of both networks, beside what the data decides: those of the family that are settings."""
        return {
            name: getattr(self, name) for name in families.get(self.arch).arguments.model_fields if name in type(self).model_fields
        }

    def input_spec(self, classes: int | None) -> InputSpec:
        """What the generator draws from; `classes` is None for a model without labels."""
        named = [code.partition("=") for code in self.codes.split(",") if code]
        return InputSpec(self.z_dim, self.latent, classes, tuple(Code(name, int(k) if k else None) for name, _, k in named))

    def is_reached(self, seen: int, seconds: float) -> bool:
        """Whether a run that has seen so many images in so many seconds is as long as it was to be."""
        return seen >= self.images or (self.minutes is not None and seconds >= 60 * self.minutes)
