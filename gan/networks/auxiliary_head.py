"""InfoGAN's Q: a network that predicts the codes that an image was generated from (Chen et al. 2016, arXiv 1606.03657).

The auxiliary classifier of AC-GAN is the same network, for one more category.
"""

import torch
from torch import Tensor, nn

from gan.latents import Code


class AuxiliaryHead(nn.Module):
    """The discriminator's features to a distribution of each code: Q(c | x) of the paper, layers as in its appendix C.1."""

    def __init__(
        self,
        feature_count: int,  # of the discriminator, as its `forward_features` returns them
        codes: tuple[Code, ...],  # one or more, in the order of `InputSpec.codes`
        width: int = 128,  # units of the hidden layer
    ) -> None:
        super().__init__()
        self.parts = [code.categories or 1 for code in codes]
        self.is_categorical = [code.categories is not None for code in codes]
        self.layers = nn.Sequential(
            nn.Linear(feature_count, width, bias=False),  # the normalisation has one
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, sum(self.parts)),
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """float [n, feature_count] -> in the order of the codes: logits, float [n, categories], or the mean, float [n].

        A continuous code is normal about its mean with a standard deviation of 1, as in the paper's code; a learned one lets
        the loss fall without bound.
        """
        guesses: Tensor = self.layers(features)
        pairs = zip(guesses.split(self.parts, 1), self.is_categorical, strict=True)  # type: ignore[no-untyped-call]
        return [part if categorical else part[:, 0] for part, categorical in pairs]


@torch.no_grad()
def initialise(aux_head: AuxiliaryHead, random: torch.Generator) -> None:
    """Start weights of the paper's code: N(0, 0.02), biases 0; the gains of batch normalisation 1."""
    for module in aux_head.modules():
        if isinstance(module, nn.Linear):
            module.weight.normal_(0.0, 0.02, generator=random)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm1d):
            module.weight.fill_(1.0)
            module.bias.zero_()
