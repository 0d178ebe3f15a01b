"""Searches for latent vectors, whose images are drawn in the batches of all requests."""

import asyncio
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from gan.inversion import Candidate, Drawing, Inversion, TimeIsUpError
from gan.latents import Inputs
from gan.model import searching
from serving.batching import Batcher, DeviceLostError
from serving.loaded_model import LoadedModel
from serving.pipeline import device_lost
from serving.threads import Threads

Floats = NDArray[np.float32]


class Inverter:
    """Finds latent vectors of pictures by a model that is loaded; see `gan.inversion`."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        # Linear algebra of a few milliseconds between two batches. More threads of OpenBLAS would take the processors from those,
        # and on another number of processors give other last bits.
        self._solver = Threads(1, "solve")
        ThreadpoolController().select(internal_api="openblas").limit(limits=1)

    async def invert(
        self,
        model: LoadedModel,
        target: Floats,  # [channels, height, width] in [-1, 1]
        candidates: list[Candidate],
        iterations: int,
        until: float,  # the event loop's time at which the best that was found is returned
    ) -> Inversion:
        """Find what draws a picture best.

        Raises TimeIsUpError if nothing was drawn in time, and RequestError if there is no device.
        Cancelling it takes the rows that wait out of the queue.
        """
        manifest = model.folder.manifest
        drawing = await self._solver.run(searching.search, model.runtime, model.encoder, manifest, target, candidates, iterations)
        complete = partial(searching.complete, model.runtime, manifest)
        found = await self._solver.run(_advance, drawing, None, complete)
        while not isinstance(found, Inversion):
            try:
                async with asyncio.timeout_at(until) as limit:
                    generated = await self._batcher.submit(model.runtime.values, found)
            except DeviceLostError:
                raise device_lost() from None
            except TimeoutError:
                if not limit.expired():
                    raise
                return await self._solver.run(_give_up, drawing)
            found = await self._solver.run(_advance, drawing, generated.images, complete)
        return found


def _advance(drawing: Drawing, images: Floats | None, complete: "partial[Inputs]") -> Inputs | Inversion:
    """The next rows to draw, or the result."""
    try:
        return complete(next(drawing) if images is None else drawing.send(images))
    except StopIteration as end:
        found: Inversion = end.value
        return found


def _give_up(drawing: Drawing) -> Inversion:
    try:
        drawing.throw(TimeIsUpError)
    except StopIteration as end:
        found: Inversion = end.value
        return found
    raise RuntimeError("the search went on though its time was up")
