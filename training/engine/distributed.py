"""Several processes that train one game: each computes its share of every batch, and all take the same steps.

`torchrun --nproc-per-node 4 -m training.run …` starts them; without it there is one process, for which all here does nothing.
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
    """The processes of a game, and which of them this is."""

    rank: int = 0
    size: int = 1

    @classmethod
    @contextmanager
    def join(cls) -> Iterator["Group"]:
        """Meet the processes that torchrun started; this one alone if it started none."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            yield cls()
            return
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # gloo for what lies on the processor: whether to stop is asked between steps, and the GPU must not be waited for.
        # The others wait while the first one trains a classifier or measures a checkpoint.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(hours=2))
        try:
            yield cls(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to people."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """The rows of a batch that are this process's; the batch must divide by `size`."""
        rows = batch_size // self.size
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, such that a backward pass leaves the mean of all processes' gradients.

        Buffers stay each process's own: running statistics are not used in training, and the vectors of spectral normalisation
        come out the same everywhere.
        """
        if self.size == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        return DistributedDataParallel(network, broadcast_buffers=False)

    def mean(self, values: Tensor) -> Tensor:
        """Of all processes' values, in place."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def any(self, mine: bool) -> bool:
        """Whether any process says so; all get the same answer."""
        if self.size == 1:
            return mine
        votes = torch.tensor(int(mine))
        dist.all_reduce(votes)
        return bool(votes)

    def tell(self, text: str) -> str:
        """What the first process says, to all."""
        heard = [text]
        if self.size > 1:
            dist.broadcast_object_list(heard)
        return heard[0]

    @contextmanager
    def one_after_another(self) -> Iterator[None]:
        """The first process goes through alone, the others when it is done: what it has cached is there for them."""
        if self.size > 1 and not self.is_first:
            dist.barrier()
        yield
        if self.size > 1 and self.is_first:
            dist.barrier()
