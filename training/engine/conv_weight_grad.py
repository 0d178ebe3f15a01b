"""The 4x4 stride-2 convolutions of DCGAN with faster weight gradients, for training in bfloat16 on a CPU.

oneDNN's bfloat16 kernel for the weight gradient reaches a fraction of the speed of its other convolutions; the same sum
written as one matrix product over unfolded patches takes a third of the time. benchmarks/training.py measures the whole step.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, conv_transpose2d, pad


def use_fast_weight_gradients(network: nn.Module) -> None:
    """Replace layers by the faster ones, in place: same parameters under the same names, same outputs, same gradients.

    Layers with one to three channels on the side of the image are left alone: there is nothing to gain. Outside autocast, where
    gradient penalties with their second derivatives are computed, the layers are the plain ones.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_halving(module) and module.in_channels > 3:
            module.__class__ = _FastConv2d
        elif type(module) is nn.ConvTranspose2d and _is_halving(module) and module.out_channels > 3:
            module.__class__ = _FastConvTranspose2d


def _is_halving(module: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (module.kernel_size, module.stride, module.padding, module.bias) == ((4, 4), (2, 2), (1, 1), None)


def _weight_gradient(small: Tensor, large: Tensor) -> Tensor:
    """Sum over images and positions of small[n, a, y, x] * large[n, b, 2y + i - 1, 2x + j - 1] -> float32 [a, b, 4, 4].

    `small` is [n, a, h, w] and `large` [n, b, 2h, 2w], both channels last, which makes the reshapes below cheap.
    """
    rows = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    patches = pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).unfold(1, 4, 2).unfold(2, 4, 2)  # [n, h, w, b, 4, 4]
    columns = patches.permute(0, 1, 2, 4, 5, 3).reshape(len(rows), -1)
    return (rows.t() @ columns).float().view(small.shape[1], 4, 4, large.shape[1]).permute(0, 3, 1, 2)


def _cast(images: Tensor) -> Tensor:
    return images.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


class _Halve(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        images, weight = _cast(images), weight.to(torch.bfloat16)
        ctx.save_for_backward(images, weight)
        return conv2d(images, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        gradient = _cast(gradients[0])
        return (
            conv_transpose2d(gradient, weight, stride=2, padding=1) if ctx.needs_input_grad[0] else None,
            _weight_gradient(gradient, images) if ctx.needs_input_grad[1] else None,
        )


class _Double(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        images, weight = _cast(images), weight.to(torch.bfloat16)
        ctx.save_for_backward(images, weight)
        return conv_transpose2d(images, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        gradient = _cast(gradients[0])
        return (
            conv2d(gradient, weight, stride=2, padding=1) if ctx.needs_input_grad[0] else None,
            _weight_gradient(images, gradient) if ctx.needs_input_grad[1] else None,
        )


class _FastConv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        return _Halve.apply(input, self.weight)  # type: ignore[no-any-return]


class _FastConvTranspose2d(nn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not torch.is_autocast_enabled(input.device.type):
            return super().forward(input, output_size)
        return _Double.apply(input, self.weight)  # type: ignore[no-any-return]
