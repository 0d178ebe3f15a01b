"""How a discriminator's layers can be normalised, family by family. Needs no torch."""

from typing import Literal

from gan.manifest import ArchitectureName

Norm = Literal["none", "batch", "spectral"]

# What each family takes, its paper's own first. Maxout layers have no place for batch normalisation that a paper describes, and
# R3GAN's residual blocks start as the identity, which either kind of normalisation would undo.
NORMS: dict[ArchitectureName, tuple[Norm, ...]] = {
    "mlp": ("none", "spectral"),
    "dcgan": ("batch", "none", "spectral"),
    "resnet": ("spectral", "none", "batch"),
    "r3gan": ("none",),
}


def check_norm(family: ArchitectureName, norm: Norm) -> None:
    """Raises ValueError, naming those that will do, for a normalisation that the family does not take."""
    if norm not in NORMS[family]:
        raise ValueError(f"the {family} discriminator does not take {norm} normalisation: use {' or '.join(NORMS[family])}")
