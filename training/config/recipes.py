"""Named sets of defaults. What a recipe leaves out is its network family's default, or else that of the configuration."""

from typing import Any, Literal

RecipeName = Literal["auto", "gan", "dcgan", "lsgan", "wgan", "wgan-gp", "sngan", "cgan", "acgan", "infogan", "r3gan", "f-anogan"]

RECIPES: dict[RecipeName, dict[str, Any]] = {
    # Chosen from the data and the time, see `auto.choose`; what that chooses is given as if by flags.
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
    # Of normal images only, for an encoder and a score of how unusual a picture is, which follow when the generator is finished
    # (Schlegl et al. 2019, doi 10.1016/j.media.2019.01.010, section 3). Their WGAN-GP takes five steps of the critic for each of
    # the generator's; here R1 in every fourth step holds the discriminator, whose features the encoder and the score use.
    "f-anogan": {
        "width": 32,
        "z_dim": 64,
        "discriminator_norm": "none",
        "r1": 1.0,
        "penalty_every": 4,
        "augment": "translation",
        "images": 150_000,
        "encoder_images": 100_000,
    },
}
