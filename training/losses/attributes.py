"""The loss of attributes, of which each class has its own values."""

import torch
from torch import Tensor


def attribute_error(
    logits: Tensor,  # float32 [n, values of all classes and columns]
    first: Tensor,  # int64 [n, columns]: the index of the first value of an image's class and column
    values: Tensor,  # int64 [n, columns]: how many values there are
    most: int,  # of `values`, or more
    shown: Tensor,  # int64 [n, columns]: the place of each value among these
) -> Tensor:
    """-log P(value | image), the mean over all images and the columns in which their class has several values; a scalar.

    The auxiliary classifier's loss of AC-GAN (Odena et al. 2017, arXiv 1610.09585, equation 3), for each column.
    """
    steps = torch.arange(most, device=logits.device)
    is_value = steps < values[..., None]
    places = torch.where(is_value, first[..., None] + steps, 0)
    of_column = logits.gather(1, places.flatten(1)).view(places.shape).masked_fill(~is_value, -torch.inf)
    errors = -of_column.log_softmax(-1).gather(-1, shown[..., None]).squeeze(-1)
    counts = values > 1
    return (errors * counts).sum() / counts.sum().clamp(min=1)
