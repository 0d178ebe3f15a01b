"""The loss of attributes, of which each class has its own values."""

from torch import Tensor

from gan.networks.attributes import of_columns


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
    log_shares = of_columns(logits, first, values, most).log_softmax(-1)
    errors = -log_shares.gather(-1, shown[..., None]).squeeze(-1)
    counts = values > 1
    return (errors * counts).sum() / counts.sum().clamp(min=1)
