"""Over which images batch normalisation takes its statistics in training: those of one process's pass, of all, or of groups."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.config.schema import TrainingConfig
from training.engine.distributed import Group


def set_up(network: nn.Module, config: TrainingConfig, group: Group) -> None:
    """Replace a network's layers by those that --sync-batch-norm or --batch-norm-group ask for, in place.

    They have the same parameters and buffers under the same names, and in eval mode are plain ones.
    """
    for module in network.modules():
        if not isinstance(module, _BatchNorm):
            continue
        if config.batch_norm_group is not None:
            module.__class__ = _GroupedBatchNorm
            assert isinstance(module, _GroupedBatchNorm)
            module.group_size = config.batch_norm_group
        elif config.sync_batch_norm:
            module.__class__ = _SyncBatchNorm
            assert isinstance(module, _SyncBatchNorm)
            module.group = group


def leave_group(network: nn.Module) -> None:
    """Let a copy of a network be computed by one process alone, which has the whole batch."""
    for module in network.modules():
        if isinstance(module, _SyncBatchNorm):
            module.group = Group()


def uses_batch_norm(network: nn.Module) -> bool:
    """Whether there is batch normalisation in a network."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def images_together(config: TrainingConfig, processes: int) -> int:
    """Images that statistics are taken over where so many processes share a batch."""
    if config.batch_norm_group is not None:
        return config.batch_norm_group
    share = config.batch_size // processes
    part = min(share, config.micro_batch_size or share)
    return part * processes if config.sync_batch_norm else part


class _SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the images of all processes.

    torch.nn.SyncBatchNorm computes on GPUs only, and has no second derivatives, which gradient penalties take.
    """

    group: Group

    def _check_input_dim(self, input: Tensor) -> None:
        """Any: the layer that was replaced has been given its inputs before."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.group.size == 1:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        variance, mean = torch.var_mean(input.float(), axes, correction=0)
        # One exchange for both. The variance is that within the processes' shares, which are equal, and between them.
        means, variances = self.group.gather(torch.stack([mean, variance])).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._remember(mean.detach(), variance.detach(), input.numel() // input.shape[1] * self.group.size)
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale
        shift = shift if self.bias is None else shift + self.bias
        shape = [1, -1, *[1] * (input.dim() - 2)]
        return torch.addcmul(shift.view(shape), input, scale.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics as torch's own layer does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (count / (count - 1)), weight)


class _GroupedBatchNorm(_BatchNorm):
    """Ghost batch normalisation: over groups of so many images each (Hoffer et al. 2017, arXiv 1705.08741, algorithm 1)."""

    group_size: int

    def _check_input_dim(self, input: Tensor) -> None:
        """Any: the layer that was replaced has been given its inputs before."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or len(input) <= self.group_size:
            return super().forward(input)
        return torch.cat([super(_GroupedBatchNorm, self).forward(images) for images in torch.split(input, self.group_size)])
