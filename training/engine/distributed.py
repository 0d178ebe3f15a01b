"""Data-parallel training: each process computes its rows of every batch, and all take the same steps.

`torchrun --nproc-per-node 4 -m training.run …` starts the processes; without it there is one, for which all of this does nothing.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import LostProcessError

T = TypeVar("T")

_STEP = timedelta(minutes=10)  # after which a process that does not answer within a step counts as lost
_POLL = 0.05  # seconds
_FIRST_AT_WORK = timedelta(days=1)  # so long the others wait while the first reads data, measures, exports or trains an encoder


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1
    steps: Any = None  # torch's group of these processes for what they do within a step; its default one has patience

    @classmethod
    @contextmanager
    def join(cls) -> Iterator["Group"]:
        """Form the group of the processes that torchrun started; of this one alone if it started none.

        Raises LostProcessError where another process has ended before this one.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            yield cls()
            return
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        # gloo for tensors on the CPU: the vote on stopping, between two steps, must not wait for the GPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            _initialise(backend)
            yield cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend=backend, timeout=_STEP))
        except RuntimeError as error:
            if not _is_lost(error):
                raise
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise LostProcessError(
                f"another process of this run has ended, or does not answer ({reason}): see what that one says; under torchrun "
                "--max-restarts the run goes on from its last checkpoint by itself"
            ) from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()

    def __deepcopy__(self, _: dict[int, Any]) -> "Group":
        """The group itself: a copy of a network is computed by the same processes."""
        return self

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 and later have another name for this
            return DistributedDataParallel(network, broadcast_buffers=False, process_group=self.steps)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes (all-reduce), in place."""
        if self.size > 1:
            dist.all_reduce(values, group=self.steps)
            values /= self.size
        return values

    def gather(self, values: Tensor) -> Tensor:
        """The values of all processes, [size, *shape of values], the same in each; has gradients, and gradients of these."""
        rows = [values if rank == self.rank else torch.zeros_like(values) for rank in range(self.size)]
        gathered: Tensor = _Sum.apply(torch.stack(rows), self)
        return gathered

    def any(self, local: bool) -> bool:
        """Logical or over all processes; all get the same answer."""
        return bool(self.largest(int(local)))

    def largest(self, local: int) -> int:
        """The largest of all processes' numbers; all get the same answer."""
        if self.size == 1:
            return local
        numbers = torch.tensor(local)
        dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self.steps)
        return int(numbers)

    def from_first(self, work: Callable[[], T]) -> T:
        """What `work` returns in the first process, which alone carries it out while the others wait, in all of them."""
        found: list[Any] = [work() if self.is_first else None]
        if self.size > 1:
            dist.broadcast_object_list(found, device=torch.device("cpu"))
        result: T = found[0]
        return result

    def copy_from_first(self, tensor: Tensor) -> None:
        """Overwrite a tensor by the first process's of the same shape and layout."""
        if self.size > 1:
            dist.broadcast(tensor, 0, group=self.steps)

    def wait(self) -> None:
        """Wait until all processes are here, however long the first is at work by itself."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(()))  # a barrier would be one of the GPUs

    @contextmanager
    def one_after_another(self) -> Iterator[None]:
        """Run the block in the first process, then in the others, which find what it has cached."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


class _Sum(torch.autograd.Function):
    """Sum over all processes. Each process's loss depends on the sum, so that its gradient is their gradients' sum."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = values.clone()
        dist.all_reduce(total, group=group.steps)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _Sum.apply(gradients[0].contiguous(), ctx.group), None


def _initialise(backend: str) -> None:
    """Meet the other processes.

    torchrun's store outlives the processes: those that it starts again would find the addresses of those before. So they meet
    under a name that is new at each start (TORCHELASTIC_RESTART_COUNT is not: hosts may have counted differently).
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        dist.init_process_group(backend, timeout=_FIRST_AT_WORK)
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=False, timeout=_FIRST_AT_WORK)  # type: ignore[attr-defined]
    named = dist.PrefixStore(_name_of_start(store, rank, size), store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=named, rank=rank, world_size=size, timeout=_FIRST_AT_WORK)


def _name_of_start(store: Any, rank: int, size: int) -> str:
    """A name that the first process thinks up, and gives to those that ask for it now."""
    own = uuid4().hex
    if rank:
        store.set(f"start/asks/{rank}", own)
        name: str = store.get(f"start/answer/{own}").decode()  # which waits for it
        store.add(f"start/knows/{name}", 1)
        return name
    asked = [f"start/asks/{other}" for other in range(1, size)]
    while store.add(f"start/knows/{own}", 0) < size - 1:
        for key in asked:
            if store.check([key]):  # perhaps by a process before, which does not read the answer
                store.set(f"start/answer/{store.get(key).decode()}", own)
        time.sleep(_POLL)
    return own


def _is_lost(error: RuntimeError) -> bool:
    """Whether torch says that another process is gone: gloo's errors have no class of their own."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "closed by peer", "reset by peer"))
