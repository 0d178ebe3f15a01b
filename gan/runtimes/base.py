"""From rows of a network's inputs to rows of its outputs: the protocol of an engine, and what `Runtime` adds to every engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan.images.encoding import to_uint8_range
from gan.latents import Inputs, count, select
from gan.manifest import STYLES
from gan.processors import usable_processors
from gan.runtimes.network import ExportedNetwork, OutputSpec

DeviceName = Literal["auto", "cpu", "cuda"]
PrecisionName = Literal["float32", "bfloat16", "float16"]

Outputs = dict[str, NDArray[Any]]  # by name, one row for each row of inputs

# A batch that one thread computes in less gains little from others, which are then left to the event loop and the encoders.
ONE_THREAD_SECONDS = 0.010

# Values of one output that a batch may hold: 21 images of 64x64 RGB, or 1 of 256x256. A processor, unlike a GPU, computes larger
# batches of such images no faster for each.
_BATCH_VALUES = 2**18
# A batch that takes longer is halved, so that a short request does not wait long for a long one.
_BATCH_SECONDS = 0.25

T = TypeVar("T")
E = TypeVar("E", bound="Engine")


class RunExclusively(Protocol):
    """Runs work while no other thread uses the device."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Block until the work is done; return what it returns, raise what it raises."""
        ...


def run_inline(work: Callable[[], T], /) -> T:
    """Run the work now, for programs in which nothing else uses the device."""
    return work()


class Engine(Protocol):
    """Runs the exported file of a network on one device.

    What an engine returns for a row may differ in its last bits with the number of rows beside it; `Runtime` takes care of that.
    """

    name: str  # library and device, for people, metrics and ETags
    file: str  # that it runs, a name in the manifest's `files`
    library: str  # that runs it, a distribution's name, whose version may change the last bits of results
    max_batch_size: int  # rows; more would not be faster
    in_flight: int  # batches that may be started before the first of them is waited for
    needs_fixed_batch_size: bool | None  # whether all batches need the same number of rows; None: `Runtime` finds out
    makes_uint8: bool  # whether it has taken the step to uint8 images itself, on its device

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """Begin to compute 1 to `max_batch_size` rows; the function returned waits for them."""
        ...

    def start_values(self, rows: Inputs) -> Callable[[], Outputs]:
        """The same, but what the network itself gives, also where `makes_uint8`."""
        ...


class BatchRunner(Protocol):
    """What runs batches of complete rows: a `Runtime`, or its `values`."""

    batch_size: int  # rows; more would not be faster
    in_flight: int  # batches that may be started before the first of them is waited for

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """Begin to compute 1 to `batch_size` complete rows; the function returned waits for the outputs, by name."""
        ...


class Mapping(Protocol):
    """Makes styles; see `styles.StyleMapping`."""

    file: str  # that it runs

    def with_styles(self, rows: Inputs, truncation: float | None = None) -> Inputs:
        """The rows, and their styles beside them."""
        ...


class Runtime:
    """A network on an engine. The same row gives the same bytes whatever else is in the batch.

    Numbers of rows at which the engine's results differ, bit for bit, are found when the network is loaded; then all batches are
    padded to one size.
    """

    def __init__(self, engine: Engine, network: ExportedNetwork, mapping: Mapping | None = None) -> None:
        """`mapping` makes the styles of a network that takes these. Runs some rows; raises what the engine raises."""
        self._engine, self._outputs, self._mapping = engine, network.outputs, mapping
        self.name, self.file, self.library, self.in_flight = engine.name, engine.file, engine.library, engine.in_flight
        self.files = (self.file,) if mapping is None else (mapping.file, self.file)
        self.batch_size = engine.max_batch_size
        probe = network.rows(self.batch_size)
        pad = not rows_agree(engine, probe) if engine.needs_fixed_batch_size is None else engine.needs_fixed_batch_size
        if not pad:
            self.batch_size = _batch_size_within_limit(engine, probe)
        self._layout = _Layout(network.inputs, self.batch_size if pad else None)
        self.values = Values(engine, self._layout, self._outputs, self.batch_size)

    @property
    def is_half_precision(self) -> bool:
        """Whether it computes in float16 or bfloat16, where small differences of inputs are lost."""
        return self.name.endswith("float16")

    def complete(self, rows: Inputs, truncation: float | None = None) -> Inputs:
        """The rows with their styles, truncated, if the network takes styles and they have none; else the rows as they are."""
        return rows if self._mapping is None or STYLES in rows else self._mapping.with_styles(rows, truncation)

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """Begin to compute 1 to `batch_size` complete rows; the function returned waits for the outputs, by name."""
        wait = self._layout.start(self._engine.start, rows)
        if self._engine.makes_uint8:
            return wait
        return lambda: _of_outputs(to_declared_output, wait(), self._outputs)


class Values:
    """A generator's images as it computes them, not yet rounded to uint8: for searches, which need small differences.

    It and its `Runtime` do not refer to each other, or both would hold their memory until garbage is collected.
    """

    in_flight = 1

    def __init__(self, engine: Engine, layout: "_Layout", outputs: tuple[OutputSpec, ...], batch_size: int) -> None:
        self._engine, self._layout, self._outputs, self.batch_size = engine, layout, outputs, batch_size

    def start(self, rows: Inputs) -> Callable[[], Outputs]:
        """As `Runtime.start`, but images are float32 [n, channels, height, width], where [-1, 1] becomes 0 to 255."""
        wait = self._layout.start(self._engine.start_values, rows)
        return lambda: _of_outputs(_to_unit_range, wait(), self._outputs)


@dataclass(frozen=True)
class _Layout:
    """The rows that an engine takes."""

    inputs: list[str]
    padded_to: int | None  # rows; None: any number is taken

    def start(self, start: Callable[[Inputs], Callable[[], Outputs]], rows: Inputs) -> Callable[[], Outputs]:
        n = count(rows)
        rows = {name: rows[name] for name in self.inputs}
        wait = start(rows if self.padded_to is None else padded(rows, self.padded_to))
        return lambda: {name: values[:n] for name, values in wait().items()}


def _of_outputs(
    convert: Callable[[NDArray[Any], OutputSpec], NDArray[Any]], found: Outputs, outputs: tuple[OutputSpec, ...]
) -> Outputs:
    return {spec.name: convert(found[spec.name], spec) for spec in outputs}


def _to_unit_range(values: NDArray[Any], spec: OutputSpec) -> NDArray[Any]:
    if spec.uint8_source_range in (None, (-1.0, 1.0)):
        return values
    low, high = spec.uint8_source_range or (-1.0, 1.0)
    return (values - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)


def generate(runtime: Runtime, rows: Inputs) -> Outputs:
    """All outputs of any number of rows from 1 up, one batch after another; styles that they lack are not truncated."""
    return in_batches(runtime, runtime.complete(rows))


def in_batches(runner: BatchRunner, rows: Inputs) -> Outputs:
    """All outputs of any number of complete rows from 1 up, one batch after another."""
    return run_in_batches(lambda some: runner.start(some)(), rows, runner.batch_size)


def run_in_batches(run: Callable[[Inputs], Outputs], rows: Inputs, size: int) -> Outputs:
    """All outputs of any number of rows from 1 up, at most `size` of them at once."""
    parts = [run(select(rows, slice(start, start + size))) for start in range(0, count(rows), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def rows_in_a_batch(most: int, network: ExportedNetwork, values: int = _BATCH_VALUES) -> int:
    """How many rows, at least one and at most `most`, stay within a bound on a batch's output; as many as its files take if fixed.

    A function of the network alone: where batches are padded, another size could give other bits after a restart.
    """
    return network.batch or max(1, min(most, values // max(spec.values for spec in network.outputs)))


def rows_agree(engine: Engine, probe: Inputs) -> bool:
    """Whether the engine's numbers for these rows are the same, bit for bit, in batches of 1, 2, … up to all of them."""
    n = count(probe)
    singly = [engine.start(select(probe, slice(row, row + 1)))() for row in range(n)]
    alone = {name: np.concatenate([one[name] for one in singly]) for name in singly[0]}
    for size in range(2, n + 1):
        together = engine.start(select(probe, slice(-size, None)))()
        if not all(np.array_equal(values, alone[name][-size:]) for name, values in together.items()):
            return False
    return True


def to_declared_output(values: NDArray[Any], spec: OutputSpec) -> NDArray[Any]:
    """Convert an output to the type that the manifest declares.

    Images [n, channels, height, width] become uint8 [n, height, width, channels].
    """
    if spec.uint8_source_range is None:
        return values
    images: NDArray[np.uint8] = to_uint8_range(values, *spec.uint8_source_range).astype(np.uint8).transpose(0, 2, 3, 1)
    return images


def padded(rows: Inputs, size: int) -> Inputs:
    """`size` rows, of which those that were missing are zeros."""
    missing = size - count(rows)
    if not missing:  # engines take arrays whose values follow one another, which np.pad makes too, at more cost
        return {name: np.ascontiguousarray(values) for name, values in rows.items()}
    return {name: np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)]) for name, values in rows.items()}


def as_few_threads_as_help(make: Callable[[int], E], threads: int | None, network: ExportedNetwork) -> E:
    """An engine with these processor threads, or with one where more gain little and change no bit.

    The clock may choose otherwise after a restart, so both must compute the same in a batch of any size.
    """
    engine = make(threads or usable_processors())
    probe = network.rows(engine.max_batch_size)
    together = engine.start(probe)()  # which fails for a file with other inputs than the manifest says
    if threads is not None or usable_processors() == 1:
        return engine
    alone = make(1)
    if least_seconds(alone, probe) > ONE_THREAD_SECONDS:
        return engine
    same = all(np.array_equal(values, together[name]) for name, values in alone.start(probe)().items())
    for one in (engine, alone):
        if one.needs_fixed_batch_size is None:
            one.needs_fixed_batch_size = not rows_agree(one, probe)
    return alone if same and alone.needs_fixed_batch_size == engine.needs_fixed_batch_size else engine


def least_seconds(engine: Engine, rows: Inputs, runs: int = 4) -> float:
    """The shortest of some runs, since other work on the machine only ever makes one longer."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        engine.start(rows)()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _batch_size_within_limit(engine: Engine, probe: Inputs) -> int:
    size = count(probe)
    while size > 1 and least_seconds(engine, select(probe, slice(size)), runs=1) > _BATCH_SECONDS:
        size //= 2
    return size
