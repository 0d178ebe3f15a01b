"""Named sets of defaults. What a recipe does not say is as in the configuration's own defaults, which are the article's DCGAN."""

from typing import Any, Literal

RecipeName = Literal["dcgan", "lsgan", "wgan", "wgan-gp", "cgan"]

RECIPES: dict[RecipeName, dict[str, Any]] = {
    # The article's: its networks and settings (Radford et al. 2016, arXiv 1511.06434).
    "dcgan": {},
    # Least squares instead of cross-entropy (Mao et al. 2017, arXiv 1611.04076).
    "lsgan": {"objective": "lsgan"},
    # Clipped weights (Arjovsky et al. 2017, arXiv 1701.07875, algorithm 1). Adam without momentum stands for RMSProp.
    "wgan": {
        "objective": "wgan",
        "weight_clip": 0.01,
        "discriminator_steps": 5,
        "learning_rate": 5e-5,
        "beta1": 0.0,
        "beta2": 0.99,
    },
    # A gradient penalty instead (Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1). A critic without batch normalisation, since
    # the penalty is on each picture by itself (section 4).
    "wgan-gp": {
        "objective": "wgan-gp",
        "gradient_penalty": 10.0,
        "discriminator_norm": "none",
        "discriminator_steps": 5,
        "learning_rate": 1e-4,
        "beta1": 0.5,
        "beta2": 0.9,
    },
    # Labels beside the latent vector and the picture (Mirza and Osindero 2014, arXiv 1411.1784).
    "cgan": {"conditional": True},
}
