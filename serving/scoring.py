"""POST /score, checked against its model and the limits: how unusual pictures are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gan.images import encoding
from gan.images.encoding import Images
from gan.manifest import Manifest
from gan.scoring import Scorer
from serving import filenames
from serving.encoding import MEDIA_TYPES, GridOptions
from serving.errors import field_error
from serving.loaded_model import LoadedModel
from serving.picture_requests import as_sent, beside, check_number
from serving.picture_schema import PictureFormat, ScoreRequest
from serving.request_checks import check_fields_of_format, check_sheet
from serving.settings import Settings

Floats = NDArray[np.float32]

_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {
    "threshold": ("json",),
    "scale": ("png", "webp", "jpeg"),
    "quality": ("webp", "jpeg"),
}
_WHITE = 1.0  # difference of pixel values in [-1, 1], of a range of 2, from which on a map is white


@dataclass(frozen=True)
class Scores:
    """What a scorer says of pictures."""

    targets: Floats  # the pictures, float32 [n, channels, height, width] in [-1, 1]
    scores: Floats  # [n]
    shares: Floats  # [n]
    drawn: Floats  # the nearest images of the generator, as the pictures

    @classmethod
    def of(cls, targets: Floats, scorer: Scorer) -> Self:
        """Score pictures. Takes a while: call it off the event loop."""
        scores, shares, drawn, _ = scorer.score(targets)
        return cls(targets, scores, shares, drawn)


@dataclass(frozen=True)
class PreparedScore:
    """How to answer with the scores of pictures."""

    manifest: Manifest
    scorer: Scorer
    threshold: float | None
    format: PictureFormat
    grid_options: GridOptions

    @classmethod
    def prepare(
        cls,
        request: ScoreRequest,
        n: int,
        model: LoadedModel,
        settings: Settings,
        accepted: Callable[[], PictureFormat],  # the format that the Accept header chooses, where the request names none
    ) -> Self:
        """Check the fields against each other, the model and the limits. Raises RequestError."""
        manifest = model.folder.manifest
        if model.scorer is None:
            raise field_error(
                ("model",),
                f"{manifest.name} has no score; make one (python -m training.encoder MODEL), or name a model that has: "
                "its manifest has the field scoring",
            )
        check_number(n, settings.max_n, request.where)
        kind = request.format or accepted()
        check_fields_of_format(request, kind, _FORMATS_OF_FIELD)
        options = GridOptions(2, request.scale or 1, request.quality or GridOptions.quality)
        if kind != "json":
            check_sheet(request.where, 2 * n, options, kind, manifest, settings)
        return cls(manifest, model.scorer, request.threshold, kind, options)

    @property
    def content_disposition(self) -> str:
        """Value of the header Content-Disposition."""
        return filenames.content_disposition(f"{self.manifest.name}-score", self.format)

    @property
    def media_type(self) -> str:
        """MIME type of the response body."""
        return MEDIA_TYPES[self.format]

    def json(self, scores: Scores) -> list[dict[str, Any]]:
        """An item of the answer for each picture."""
        items = zip(scores.scores.tolist(), scores.shares.tolist(), strict=True)
        verdict = self.threshold
        return [
            {"score": score, "share": share, **({} if verdict is None else {"anomalous": share < verdict})}
            for score, share in items
        ]

    def encode(self, scores: Scores) -> bytes:
        """Each picture with its map beside it, as one image."""
        sheet = encoding.grid(beside(as_sent(scores.targets), _maps(scores)), 2)
        return encoding.encode(sheet, self.format, self.grid_options.quality, scale=self.grid_options.scale)  # type: ignore[arg-type]


def _maps(scores: Scores) -> Images:
    """How far pixels are from those of the nearest images, black for not at all, uint8 [n, height, width, channels]."""
    differences = np.abs(scores.targets - scores.drawn).mean(1, keepdims=True) / _WHITE
    levels: Images = encoding.to_uint8_range(differences, 0.0, 1.0).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.repeat(levels, scores.targets.shape[1], axis=3)
