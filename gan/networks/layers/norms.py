"""How a discriminator's layers can be normalised. Needs no torch."""

from typing import Literal

Norm = Literal["none", "batch", "spectral"]


def check_norm(family: str, norm: str, possible: tuple[Norm, ...]) -> None:
    """Raises ValueError, naming the possible ones, for a normalisation that a family's discriminator does not take."""
    if norm not in possible:
        raise ValueError(f"the {family} discriminator does not take {norm} normalisation: use {' or '.join(possible)}")
