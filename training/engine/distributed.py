"""Data-parallel training: each process computes its rows of every batch, and all take the same steps.

`torchrun --nproc-per-node 4 -m training.run …` starts the processes; without it there is one, for which all of this does nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1

    @classmethod
    @contextmanager
    def join(cls) -> Iterator["Group"]:
        """Form the group of the processes that torchrun started; of this one alone if it started none."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            yield cls()
            return
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # gloo for tensors on the CPU: the vote on stopping, between two steps, must not wait for the GPU.
        # The timeout is long because the others wait while the first one trains a classifier or measures a checkpoint.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=2))
        try:
            yield cls(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch that this process computes; `batch_size` must be a multiple of `size`."""
        count = batch_size // self.size
        return slice(self.rank * count, (self.rank + 1) * count)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that a backward pass leaves the mean of all processes' gradients.

        Buffers are not synchronised: running statistics are not used in training, and the vectors of spectral normalisation
        are the same in every process.
        """
        if self.size == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        return DistributedDataParallel(network, broadcast_buffers=False)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes (all-reduce), in place."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def any(self, local: bool) -> bool:
        """Logical or over all processes; all get the same answer."""
        if self.size == 1:
            return local
        votes = torch.tensor(int(local))
        dist.all_reduce(votes)
        return bool(votes)

    def broadcast(self, text: str) -> str:
        """The first process's text, in all processes."""
        received = [text]
        if self.size > 1:
            dist.broadcast_object_list(received)
        return received[0]

    @contextmanager
    def one_after_another(self) -> Iterator[None]:
        """Run the block in the first process, then in the others, which find what it has cached."""
        if self.size > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.size > 1 and self.is_first:
            dist.barrier()
