"""Named sets of defaults. What a recipe leaves out is its network family's default, or else that of the configuration."""

from dataclasses import dataclass
from typing import Any, Literal

from gan.networks.layers.base_grid import Size, base_grid

RecipeName = Literal["auto", "gan", "dcgan", "lsgan", "wgan", "wgan-gp", "sngan", "cgan", "acgan", "infogan", "r3gan"]

RECIPES: dict[RecipeName, dict[str, Any]] = {
    # Chosen from the data, see `choose`; what that chooses is given as if by flags.
    "auto": {},
    # The first GAN (Goodfellow et al. 2014, arXiv 1406.2661). Adam stands for its momentum.
    "gan": {"arch": "mlp"},
    # Networks and settings of DCGAN's paper (Radford et al. 2016, arXiv 1511.06434).
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
    # A gradient penalty instead (Gulrajani et al. 2017, arXiv 1704.00028v3, algorithm 1; the first version had 0.5 for beta1). A
    # critic without batch normalisation, since the penalty is on each image by itself (section 4).
    "wgan-gp": {
        "objective": "wgan-gp",
        "gradient_penalty": 10.0,
        "discriminator_norm": "none",
        "discriminator_steps": 5,
        "learning_rate": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
    },
    # Spectral normalisation and the hinge (Miyato et al. 2018, arXiv 1802.05957, section 4 and appendix B); its learning rate falls
    # to 0 over 50,000 steps of the generator, here along a half cosine.
    "sngan": {
        "arch": "resnet",
        "objective": "hinge",
        "discriminator_steps": 5,
        "beta1": 0.0,
        "beta2": 0.9,
        "anneal_images": 16_000_000,
        "learning_rate_end": 0.0,
    },
    # Labels for both networks (Mirza and Osindero 2014, arXiv 1411.1784).
    "cgan": {"conditional": True},
    # And a reader of the labels on the discriminator's features (Odena et al. 2017, arXiv 1610.09585), which learns from real
    # images only: of generated ones, as in the paper, it helps images that it can read but that look like none.
    "acgan": {"conditional": True, "aux_classifier_weight": 1.0},
    # Codes that a third player reads off the images (Chen et al. 2016, arXiv 1606.03657, appendix C.1).
    "infogan": {
        "width": 64,
        "z_dim": 62,
        "latent": "uniform",
        "codes": "category=10,first,second",
        "generator_learning_rate": 1e-3,
        "batch_size": 128,
    },
    # A relativistic loss with both penalties (Huang et al. 2024, arXiv 2501.05441, appendix, CIFAR-10), in small: its batch is 512,
    # its width 768 with two blocks.
    "r3gan": {
        "arch": "r3gan",
        "objective": "relativistic",
        "r1": 0.05,
        "r2": 0.05,
        "beta1": 0.0,
        "beta2": 0.9,
        "anneal_images": 20_000_000,
        "learning_rate_end": 5e-5,
        "penalty_end": 0.1,
        "beta2_end": 0.99,
        "ema_half_life": 5_000_000,  # which grows from nothing there too, see training.engine.schedules
    },
}


@dataclass(frozen=True)
class Choice:
    """A setting that --recipe auto chooses, and why."""

    field: str
    value: Any
    reason: str


_SMALL_SET, _TINY_SET = 10_000, 2_000  # images
_LARGEST_SIDE = 64  # that two cores learn in hours
_LONG = 1.25  # times the shorter side: images that a square would cut too much off


def choose(count: int, height: int, width: int, channels: int) -> list[Choice]:
    """What suits `count` images with sides of about so many pixels: size, batch, augmentation, regularisation.

    A flag overrides each of them.
    """
    size = _suitable_size(height, width)
    resolution = str(size[0]) if size[0] == size[1] else f"{size[1]}x{size[0]}"
    found = [
        Choice(
            "resolution", resolution, f"the images are about {width}x{height}, and sides over {_LARGEST_SIDE} take long to learn"
        )
    ]
    if count < _SMALL_SET:
        why = f"of {count:,} images, fewer than {_SMALL_SET:,}, the discriminator would learn each by heart"
        found.append(Choice("augment", "translation" if channels == 1 else "diffaugment", why))
    if count < _TINY_SET:
        found.append(Choice("batch_size", min(32, max(count // 2, 2)), f"{count:,} images make few steps otherwise"))
        found.append(Choice("r1", 0.1, f"so few as {count:,} images are learned sooner by a discriminator with gentle slopes"))
        found.append(Choice("penalty_every", 4, "which costs less than a penalty in every step"))
    found.append(
        Choice("width", 64, f"half of dcgan's, for {'grey' if channels == 1 else 'coloured'} images this size, is thrice as fast")
    )
    return found


def _suitable_size(height: int, width: int) -> Size:
    """Height and width to train at: as the images are, but no larger than _LARGEST_SIDE and halving often enough."""
    short, long = min(height, width), max(height, width)
    if long < max(_LONG * short, 40):
        side = max(16, min(short, _LARGEST_SIDE))
        while not _halves(side, side):
            side -= 1
        return side, side
    longer = min(long, _LARGEST_SIDE) // 8 * 8
    shorter = max(32, round(longer * short / long / 8) * 8)
    longer = max(longer, shorter)
    return (longer, shorter) if height > width else (shorter, longer)


def _halves(height: int, width: int) -> bool:
    try:
        base_grid((height, width))
    except ValueError:
        return False
    return True
