"""Seeds -> their images, encoded as the service encodes them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan.images import encoding
from gan.images.encoding import Images
from gan.model import Model, archives
from gan.model.origins import Origins
from gan.sampling.seeds import labels_of

_BATCH = 256  # images that are drawn, and then encoded while the next are drawn


@dataclass(frozen=True)
class Wanted:
    """How images are drawn and encoded, whatever their seeds."""

    label: str | None = None  # a class, `balanced`, or None for each seed's own
    truncation: float | None = None
    scale: int = 1

    def as_json(self) -> dict[str, Any]:
        """For the record of what a folder holds."""
        return {"label": self.label, "truncation": self.truncation, "scale": self.scale}


@dataclass(frozen=True)
class Drawn:
    """Images of some seeds."""

    seeds: list[int]
    images: Images
    origins: Origins
    scale: int

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Their classes; None of an unconditional model."""
        return self.origins.rows.get("label")

    @property
    def names(self) -> list[str]:
        """File names without their ending, as in the service's archives."""
        return archives.names(self.seeds, len(self.seeds))

    def pngs(self) -> list[bytes]:
        """The bytes of each image's file, those of the service."""
        return [
            encoding.encode(image, "png", origin=self.origins.origin_of_image(place), scale=self.scale)
            for place, image in enumerate(self.images)
        ]


def draw(model: Model, seeds: Sequence[int], wanted: Wanted) -> Drawn:
    """The images of some seeds. Raises UsageError."""
    manifest = model.manifest
    truncation = manifest.sampling.truncation if wanted.truncation is None else wanted.truncation
    rows = model.inputs(seeds, label=labels_of(seeds, wanted.label, manifest), truncation=wanted.truncation)
    origins = Origins(model.folder.title, manifest, list(seeds), rows, truncation)
    return Drawn(list(seeds), model.draw(rows), origins, wanted.scale)


def draw_encoded(model: Model, seeds: Sequence[int], wanted: Wanted) -> Iterator[tuple[Drawn, list[bytes]]]:
    """Images in batches, each with its files' bytes, which one thread makes while the next batch is drawn."""
    with ThreadPoolExecutor(1) as pool:
        before = None
        for start in range(0, len(seeds), _BATCH):
            drawn = draw(model, seeds[start : start + _BATCH], wanted)
            encoded = pool.submit(drawn.pngs)
            if before is not None:
                yield before[0], before[1].result()
            before = drawn, encoded
        if before is not None:
            yield before[0], before[1].result()
