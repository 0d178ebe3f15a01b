"""What a image's file says of where it came from, so that it can be had again: JSON, in ASCII."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gan.latents import Inputs
from gan.manifest import Manifest

_LONGEST = 30_000  # bytes; a JPEG has room for 65,000


@dataclass(frozen=True)
class Origins:
    """Of the images of one request. Each says only what is the same in every request for it; those from noise say nothing."""

    model: str  # name@version
    manifest: Manifest
    seeds: Sequence[int] | None  # None for images from noise
    rows: Inputs  # what was drawn: labels and codes stand here whether they were asked for or were the seeds' own
    truncation: float | None

    def label(self, place: int) -> str | None:
        """The name of a image's class; None for an unconditional model."""
        return None if self.manifest.classes is None else self.manifest.classes[self.rows["label"][place]]

    def of_one(self, place: int) -> str | None:
        """That of one image, the same whatever was asked for beside it."""
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

    def of_all(self) -> str | None:
        """That of a sheet of all the images."""
        if self.seeds is None or len(self.seeds) == 1:
            return self.of_one(0)
        n = len(self.seeds)
        labels = None if self.manifest.classes is None else [self.label(place) for place in range(n)]
        codes = {name: [self._codes(place)["codes"][name] for place in range(n)] for name in self._code_names}
        told = {"model": self.model, "seeds": list(self.seeds), "labels": labels, "truncation": self.truncation}
        return _bounded(told | ({"codes": codes} if codes else {}), {"model": self.model, "seed": self.seeds[0], "n": n})

    def of_way(self, frames: int, loop: bool, frame: int | None = None) -> str:
        """That of an interpolation through the seeds, or of one frame of it."""
        told = {
            "model": self.model,
            "seeds": self.seeds,
            "label": self.label(0),
            "truncation": self.truncation,
            "frames": frames,
            "loop": loop,
        }
        place = {} if frame is None else {"frame": frame}
        return _bounded(told | place, {"model": self.model, "frames": frames, "loop": loop, **place})

    @property
    def _code_names(self) -> list[str]:
        return [code.name for code in self.manifest.codes]

    def _codes(self, place: int) -> dict[str, Any]:
        return {"codes": {name: self.rows[name][place].item() for name in self._code_names}} if self.manifest.codes else {}


def _bounded(told: dict[str, Any], short: dict[str, Any]) -> str:
    text = json.dumps(told)
    return text if len(text) <= _LONGEST else json.dumps(short)
