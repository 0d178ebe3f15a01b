"""A DCGAN loop as usually written: float32, sigmoid and BCE, Adam, `.item()` for each loss, on a GPU if there is one."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gan.networks import dcgan


def train(images: np.ndarray, batch_size: int, after_step: Callable[[nn.Module], bool]) -> None:
    """Train on uint8 images [n, 1, 32, 32] until `after_step`, called with the generator between two steps, returns True."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator, discriminator = dcgan.Generator(), dcgan.Discriminator()
    for network in (generator, discriminator):
        dcgan.initialise(network, torch.Generator().manual_seed(0))
        network.to(device)
    sigmoid, loss = nn.Sigmoid(), nn.BCELoss()
    generator_optimiser = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    dataset = TensorDataset(torch.from_numpy(images).float().div(127.5).sub(1))
    real_labels, fake_labels = torch.ones(batch_size, device=device), torch.zeros(batch_size, device=device)

    while True:
        for (images,) in DataLoader(dataset, batch_size, shuffle=True, drop_last=True):
            real = images.to(device)
            discriminator_optimiser.zero_grad()
            loss_real = loss(sigmoid(discriminator(real)), real_labels)
            loss_real.backward()
            fake = generator(torch.randn(batch_size, 100, device=device))
            loss_fake = loss(sigmoid(discriminator(fake.detach())), fake_labels)
            loss_fake.backward()
            discriminator_optimiser.step()

            generator_optimiser.zero_grad()
            loss_generator = loss(sigmoid(discriminator(fake)), real_labels)
            loss_generator.backward()
            generator_optimiser.step()

            losses = (loss_real.item() + loss_fake.item(), loss_generator.item())
            if after_step(generator) or not all(np.isfinite(losses)):
                return
