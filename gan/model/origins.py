"""Metadata that an image's file carries so that it can be generated again: JSON, in ASCII."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gan.latents import Inputs
from gan.manifest import Manifest

_LONGEST = 30_000  # bytes; a JPEG has room for 65,000


@dataclass(frozen=True)
class Origins:
    """Metadata of the images of one request: only what every request for an image has in common; none for images from noise."""

    model: str  # name@version
    manifest: Manifest
    seeds: Sequence[int] | None  # None for images from noise
    rows: Inputs  # the generator's inputs: labels and codes, whether given by the request or drawn from the seeds
    truncation: float | None

    def label(self, place: int) -> str | None:
        """The name of an image's class; None for an unconditional model."""
        return None if self.manifest.classes is None else self.manifest.classes[self.rows["label"][place]]

    def latent(self, place: int) -> list[float] | None:
        """An image's latent vector; None for a blend of styles."""
        return self.rows["z"][place].tolist() if "z" in self.rows else None

    def origin_of_image(self, place: int) -> str | None:
        """Metadata of one image, which does not depend on the other images of the request."""
        if self.seeds is None:
            return None
        return json.dumps(
            {
                "model": self.model,
                "seed": self.seeds[place],
                "label": self.label(place),
                "truncation": self.truncation,
                **self._codes(place),
            }
        )

    def origin_of_sheet(self) -> str | None:
        """Metadata of a sheet of all the images."""
        if self.seeds is None or len(self.seeds) == 1:
            return self.origin_of_image(0)
        n = len(self.seeds)
        labels = None if self.manifest.classes is None else [self.label(place) for place in range(n)]
        codes = {name: [self._codes(place)["codes"][name] for place in range(n)] for name in self._code_names}
        origin = {"model": self.model, "seeds": list(self.seeds), "labels": labels, "truncation": self.truncation}
        return _bounded(origin | ({"codes": codes} if codes else {}), {"model": self.model, "seed": self.seeds[0], "n": n})

    def origin_of_interpolation(self, frames: int, loop: bool, frame: int | None = None) -> str | None:
        """Metadata of an interpolation through the seeds, or of one frame of it; none of one through latent vectors."""
        if self.seeds is None:
            return None
        origin = {
            "model": self.model,
            "seeds": self.seeds,
            "label": self.label(0),
            "truncation": self.truncation,
            "frames": frames,
            "loop": loop,
        }
        place = {} if frame is None else {"frame": frame}
        return _bounded(origin | place, {"model": self.model, "frames": frames, "loop": loop, **place})

    @property
    def _code_names(self) -> list[str]:
        return [code.name for code in self.manifest.codes]

    def _codes(self, place: int) -> dict[str, Any]:
        return {"codes": {name: self.rows[name][place].item() for name in self._code_names}} if self.manifest.codes else {}


def _bounded(full: dict[str, Any], short: dict[str, Any]) -> str:
    text = json.dumps(full)
    return text if len(text) <= _LONGEST else json.dumps(short)
