"""Requests with pictures, checked against their model and the limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gan import inversion
from gan.images.encoding import Images, to_uint8_range
from gan.inversion import Candidate, Inversion
from gan.latents import Inputs, join
from gan.manifest import Manifest
from gan.model import searching
from gan.model.origins import Origins
from gan.runtimes.base import Runtime
from serving import encoding, filenames
from serving.encoding import MEDIA_TYPES, GridOptions
from serving.errors import field_error
from serving.picture_schema import EditRequest, InvertRequest, PictureFormat
from serving.request_checks import check_fields_of_format, check_sheet, given_inputs
from serving.settings import Settings

Floats = NDArray[np.float32]

MOST_SEARCHES = 16  # pictures of one request whose latent vectors are searched for
_FORMATS_OF_FIELD: dict[str, tuple[str, ...]] = {
    "original": ("png", "webp", "jpeg"),
    "scale": ("png", "webp", "jpeg"),
    "quality": ("webp", "jpeg"),
}


def candidates(given: Inputs, n: int, manifest: Manifest) -> list[list[Candidate]]:
    """What each of n pictures may have been drawn with: what is given, and all of what is not. Raises RequestError."""
    try:
        return inversion.candidates(given, n, manifest.input_spec)
    except ValueError as error:
        where = "codes" if manifest.classes is None or "label" in given else "label"
        raise field_error((where,), str(error)) from error


@dataclass(frozen=True)
class PreparedInversion:
    """Pictures whose latent vectors are to be found, and how to answer with them."""

    candidates: list[list[Candidate]]  # for each picture
    iterations: int
    manifest: Manifest
    format: PictureFormat
    original: bool  # whether the picture that was sent stands beside the one that is drawn
    grid_options: GridOptions

    @classmethod
    def prepare(
        cls,
        request: InvertRequest,
        n: int,
        manifest: Manifest,
        settings: Settings,
        has_encoder: bool,
        accepted: Callable[[], PictureFormat],  # the format that the Accept header chooses, where the request names none
    ) -> Self:
        """Check the fields against each other, the model and the limits. Raises RequestError."""
        check_number(n, MOST_SEARCHES, request.where)
        kind, original, scale = request.format or accepted(), request.original or False, request.scale or 1
        check_fields_of_format(request, kind, _FORMATS_OF_FIELD)
        columns = 2 if original else None
        options = GridOptions(columns, scale, request.quality or GridOptions.quality)
        if kind != "json":
            check_sheet(request.where, n * (1 + original), options, kind, manifest, settings)
        found = candidates(given_inputs(request, n, manifest), n, manifest)
        iterations = iterations_of(request, has_encoder)
        return cls(found, iterations, manifest, kind, original, options)

    @property
    def content_disposition(self) -> str:
        """See PreparedRequest."""
        return filenames.content_disposition(f"{self.manifest.name}-inverted", self.format)

    def json(self, found: Sequence[Inversion]) -> list[dict[str, Any]]:
        """An item of the answer for each picture."""
        return [item_of(one, self.manifest) for one in found]

    def drawn(self, found: Sequence[Inversion], targets: Floats) -> "DrawnInversions":
        """What draws the images of the latent vectors that were found."""
        return DrawnInversions(self, join([one.rows for one in found]), targets)


@dataclass(frozen=True)
class DrawnInversions:
    """A prepared request for the images of latent vectors that were found."""

    prepared: PreparedInversion
    rows: Inputs
    targets: Floats  # the pictures that were sent, float32 [n, channels, height, width] in [-1, 1]

    @property
    def n(self) -> int:
        """See PreparedRequest."""
        return len(self.targets)

    @property
    def media_type(self) -> str:
        """See PreparedRequest."""
        return MEDIA_TYPES[self.prepared.format]

    @property
    def content_disposition(self) -> str:
        """See PreparedRequest."""
        return self.prepared.content_disposition

    @property
    def scale(self) -> int:
        """See PreparedRequest."""
        return self.prepared.grid_options.scale

    def inputs(self, runtime: Runtime) -> Inputs:
        """See PreparedRequest."""
        return searching.complete(runtime, self.prepared.manifest, self.rows)

    def encode(self, images: Images, rows: Inputs, model: str) -> bytes:
        """See PreparedRequest."""
        if self.prepared.original:
            images = beside(as_sent(self.targets), images)
        origins = Origins(model, self.prepared.manifest, None, rows, None)
        return encoding.encode(self.prepared.format, images, origins, self.prepared.grid_options)


def iterations_of(request: InvertRequest | EditRequest, has_encoder: bool) -> int:
    """What the request says, or else as many as it mostly takes from where the search begins."""
    return request.iterations if request.iterations is not None else 5 if has_encoder else 10


def item_of(found: Inversion, manifest: Manifest) -> dict[str, Any]:
    """What was found for a picture, for JSON."""
    label = {} if manifest.classes is None or found.label is None else {"label": manifest.classes[found.label]}
    codes = {code.name: found.fixed[code.name][0].item() for code in manifest.codes}
    return {
        "noise": found.z.tolist(),
        **label,
        **({"codes": codes} if codes else {}),
        "psnr": round(found.psnr, 4),
        "iterations": found.iterations,
        "stopped": found.stopped,
    }


def check_number(n: int, most: int, where: str) -> None:
    """Raises RequestError, which names `where` they are, for more pictures than there may be."""
    if n > most:
        raise field_error((where,), f"at most {most} pictures in one request, not {n}")


def as_sent(targets: Floats) -> Images:
    """Pictures as the model sees them, uint8 [n, height, width, channels]."""
    levels: Images = to_uint8_range(targets).astype(np.uint8).transpose(0, 2, 3, 1)
    return levels


def beside(left: Images, right: Images) -> Images:
    """Two rows of images as one, in turn from the left and the right."""
    return np.stack([left, right], axis=1).reshape(-1, *left.shape[1:])
