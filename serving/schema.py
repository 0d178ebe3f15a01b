"""What a request may say."""

import secrets
from http import HTTPStatus
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gan.latents import SEEDS, seed_range
from serving.errors import RequestError, field_error, from_validation

Seed = Annotated[int, Field(ge=0, lt=SEEDS)]


class GenerateRequest(BaseModel):
    """The body of POST /generate. Every field is optional; types are strict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    seed: Seed | None = None
    """of the first picture; drawn, and reported in X-Seed, if absent"""
    n: Annotated[int, Field(ge=1)] | None = None
    """how many pictures, with seeds that count up from the first; 1 if absent"""
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """one seed for each picture, instead of seed and n"""
    noise: Annotated[list[list[FiniteFloat]], Field(min_length=1)] | None = None
    """one latent vector for each picture, instead of seeds"""
    model: str | None = None
    """name or name@version of the model; the default model if absent"""
    format: Literal["png", "json"] = "png"
    """png: one picture, or a grid of them; json: every picture by itself"""

    @classmethod
    def parse(cls, body: bytes, max_n: int) -> "GenerateRequest":
        """Read and check a JSON body; an empty one leaves every field out. Raises RequestError."""
        try:
            asked = cls.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise from_validation(error) from error
        except RecursionError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from error
        asked._check(max_n)
        return asked

    def _check(self, max_n: int) -> None:
        given = self.model_fields_set
        for field, others in (("noise", ("seeds", "seed", "n")), ("seeds", ("seed", "n"))):
            for other in others:
                if getattr(self, field) is not None and other in given and getattr(self, other) is not None:
                    raise field_error((other,), f"excludes {field}; give one of them")
        for field, count in (("n", self.n), ("seeds", len(self.seeds or [])), ("noise", len(self.noise or []))):
            if count is not None and count > max_n:
                raise field_error((field,), f"at most {max_n} pictures in one request, not {count}")

    def picture_seeds(self) -> list[int] | None:
        """The seed of every picture, drawn where none was given; None for pictures from noise."""
        if self.noise is not None:
            return None
        if self.seeds is not None:
            return self.seeds
        return seed_range(secrets.randbelow(SEEDS) if self.seed is None else self.seed, self.n or 1)

    def noise_array(self, z_dim: int) -> NDArray[np.float32]:
        """`noise` as float32 [n, z_dim]. Raises RequestError for a vector of another length or a number too large."""
        assert self.noise is not None
        for row, vector in enumerate(self.noise):
            if len(vector) != z_dim:
                raise field_error(("noise", row), f"a latent vector of this model has {z_dim} numbers, not {len(vector)}")
        with np.errstate(over="ignore"):
            array = np.array(self.noise, np.float32)
        if not np.isfinite(array).all():
            row, column = np.argwhere(~np.isfinite(array))[0].tolist()
            raise field_error(("noise", row, column), "too large for a float32")
        return array
