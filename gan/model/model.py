"""A loaded model, for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan import inversion, model_folder, runtimes
from gan.directions import Directions
from gan.encoder import PictureEncoder
from gan.images.decoding import DECODING_ERRORS, Options
from gan.images.encoding import Images
from gan.images.fitting import Fit
from gan.inversion import Inversion
from gan.latents import Inputs, count, join
from gan.manifest import IMAGES, Manifest
from gan.model import drawing, searching
from gan.model.drawing import Mix
from gan.model.given import Label, UsageError, check_truncation, given_inputs, with_latents
from gan.model.pictures import as_seen, options_of
from gan.model_folder import ModelFolder
from gan.runtimes.base import DeviceName, PrecisionName, Runtime, in_batches
from gan.scoring import Scorer

Floats = NDArray[np.float32]
Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]  # a file, its content, or pixels [height, width] or [h, w, channels]


@dataclass(frozen=True)
class Scores:
    """How unusual pictures are."""

    scores: Floats  # [n], higher for what is more unusual
    shares: Floats  # [n], of held-out real pictures that score higher: p-values
    drawn: Floats  # the nearest images of the generator, [n, channels, height, width] in [-1, 1]
    labels: NDArray[np.int64] | None  # [n], of a conditional model: the classes under which they are nearest


@dataclass(frozen=True)
class Model:
    """What `load` returns. Images are uint8 [n, height, width, channels], the same bytes as the service's."""

    folder: ModelFolder
    runtime: Runtime
    directions: Directions
    encoder: PictureEncoder | None
    scorer: Scorer | None

    @property
    def manifest(self) -> Manifest:
        """What is to be known of the model."""
        return self.folder.manifest

    def generate(
        self,
        seeds: Sequence[int] | None = None,
        *,
        noise: Floats | None = None,  # [n, z_dim], instead of seeds
        label: Label | Sequence[Label] | None = None,  # one for all or one for each; None: each seed's own
        codes: Mapping[str, Any] | None = None,  # by name, one value for all or one for each; None: each seed's own
        truncation: float | None = None,  # 0 to 1; None: the model's own
    ) -> Images:
        """The images of seeds, or of latent vectors. Raises UsageError, or ValueError for seeds out of range."""
        return self.draw(self.inputs(seeds, noise=noise, label=label, codes=codes, truncation=truncation))

    def interpolate(
        self,
        seeds: Sequence[int] | None = None,  # at least two
        frames: int = 32,
        *,
        noise: Floats | None = None,  # [n, z_dim], instead of seeds
        loop: bool = False,
        label: Label | None = None,
        codes: Mapping[str, Any] | None = None,
        truncation: float | None = None,
    ) -> Images:
        """Images along a way from seed to seed, as many as frames. Raises as `generate`."""
        n = self._count(seeds, noise)
        given = given_inputs(self.manifest, n, label, codes)
        if noise is not None:
            given = with_latents(self.manifest, noise, given)
        rows = drawing.interpolation(
            self.runtime, self.manifest, seeds, frames, loop, self._truncation(truncation, noise is not None), given
        )
        return self.draw(rows)

    def inputs(
        self,
        seeds: Sequence[int] | None = None,
        *,
        noise: Floats | None = None,
        label: Label | Sequence[Label] | None = None,
        codes: Mapping[str, Any] | None = None,
        truncation: float | None = None,
    ) -> Inputs:
        """The complete inputs of the generator that `generate` draws from, one row for each image, by name."""
        given = given_inputs(self.manifest, self._count(seeds, noise), label, codes)
        psi = self._truncation(truncation, noise is not None)
        if noise is not None:
            return self.runtime.complete(with_latents(self.manifest, noise, given), psi)
        assert seeds is not None, "one of both is given"
        return runtimes.inputs_of_seeds(self.runtime, self.manifest, seeds, psi, given)

    def draw(self, rows: Inputs) -> Images:
        """The images of rows of inputs."""
        return runtimes.generate_images(self.runtime, rows)

    def edit(
        self,
        seeds: Sequence[int] | None = None,
        *,
        noise: Floats | None = None,  # [n, z_dim], instead of seeds
        found: Sequence[Inversion] | None = None,  # what `invert` found for pictures, instead of seeds
        move: Mapping[str, float | tuple[float, float]] | None = None,  # by direction: -3 to 3; two of them with steps
        label: Label | Sequence[Label] | None = None,  # to draw; None: that of the seed or the picture
        codes: Mapping[str, Any] | None = None,
        mix: Mix | None = None,  # for models with styles
        steps: int | None = None,  # of one image, from no move to the whole move
        truncation: float | None = None,
    ) -> Images:
        """Images of seeds, latent vectors or pictures, changed. Raises UsageError, and ValueError for moves that there are not."""
        if found is not None:
            given = join([one.rows for one in found]) | given_inputs(self.manifest, len(found), label, codes)
            rows = self.runtime.complete(given, self._truncation(None, noise=True))
        else:
            rows = self.inputs(seeds, noise=noise, label=label, codes=codes, truncation=truncation)
        if mix is not None and self.manifest.styles is None:
            raise UsageError("mix is for models with styles, as StyleGANs are; this one has none")
        if steps is not None and count(rows) != 1:
            raise UsageError(f"steps are those of one image, not of {count(rows)}")
        if steps is not None and steps < 1:
            raise UsageError(f"steps must be 1 or more, not {steps}")
        spans = {
            name: amount if isinstance(amount, tuple) else (0.0 if steps else amount, amount)
            for name, amount in (move or {}).items()
        }
        psi = self._truncation(truncation, noise is not None)
        return self.draw(drawing.edited(self.runtime, self.manifest, self.directions, rows, spans, mix, steps, psi))

    def invert(
        self,
        pictures: Sequence[Picture],
        *,
        label: Label | Sequence[Label] | None = None,  # None: every class is tried
        codes: Mapping[str, Any] | None = None,
        iterations: int = 10,
        fit: Fit | None = None,  # None: as in training
        background: str | None = None,
    ) -> list[Inversion]:
        """The latent vectors that draw pictures best; see `gan.inversion`. Raises UsageError, also for what is no picture."""
        targets, spec = self.see(pictures, fit, background), self.manifest.input_spec
        try:
            candidates = inversion.candidates(given_inputs(self.manifest, len(targets), label, codes), len(targets), spec)
        except ValueError as error:
            raise UsageError(f"the label {error}") from error
        searches = [
            searching.search(self.runtime, self.encoder, self.manifest, target, some, iterations)
            for target, some in zip(targets, candidates, strict=True)
        ]
        return [inversion.drive(search, self._values) for search in searches]

    def score(self, pictures: Sequence[Picture], fit: Fit | None = None, background: str | None = None) -> Scores:
        """How unusual pictures are. Raises UsageError for a model without a score, and for a picture that cannot be read."""
        if self.scorer is None:
            raise UsageError(f"{self.manifest.name} has no score: make one (python -m training.encoder {self.folder.path})")
        return Scores(*self.scorer.score(self.see(pictures, fit, background)))

    def see(self, pictures: Sequence[Picture], fit: Fit | None = None, background: str | None = None) -> Floats:
        """Pictures as the model sees them, float32 [n, channels, height, width] in [-1, 1]. Raises UsageError."""
        try:
            options = options_of(self.manifest, fit, background)
            seen = [self._see(picture, options) for picture in pictures]
        except DECODING_ERRORS as error:
            raise UsageError(f"a picture cannot be read: {error or type(error).__name__}") from error
        return np.stack(seen)

    def _see(self, picture: Picture, options: Options) -> Floats:
        if isinstance(picture, str | Path):
            picture = Path(picture).read_bytes()
        if isinstance(picture, bytes):
            return as_seen(picture, options, self.manifest.channels)
        if not isinstance(picture, Image.Image):
            picture = Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
        file = BytesIO()
        picture.save(file, "PNG")  # so that it is treated as a file of it would be
        return as_seen(file.getvalue(), options, self.manifest.channels)

    def _values(self, rows: Inputs) -> Floats:
        """The images of rows before they are rounded to uint8."""
        values: Floats = in_batches(self.runtime.values, searching.complete(self.runtime, self.manifest, rows))[IMAGES]
        return values

    def _count(self, seeds: Sequence[int] | None, noise: Floats | None) -> int:
        if (seeds is None) == (noise is None):
            raise UsageError("give either seeds or noise")
        n = len(seeds if seeds is not None else noise if noise is not None else ())
        if not n:
            raise UsageError("there is nothing to draw: give at least one seed, or one row of noise")
        return n

    def _truncation(self, truncation: float | None, noise: bool) -> float | None:
        """What truncates, as the service has it: latent vectors that are given are not truncated, styles are."""
        if noise and self.manifest.truncates == "z":
            if truncation is not None:
                raise UsageError("truncation is for seeds, not for noise")
            return None
        if truncation is None:
            return self.manifest.sampling.truncation
        check_truncation(self.manifest, truncation)
        return truncation


def load(
    path: str | Path,  # a model folder
    runtime: str = "onnx",  # or openvino, or torchscript, which needs torch
    device: DeviceName = "auto",
    precision: PrecisionName = "float32",
    threads: int | None = None,  # processor threads; None: as many as help
) -> Model:
    """Load a model folder, verified by its digests. Needs no torch. Raises ModelFolderError."""
    folder = model_folder.read(Path(path))
    loaded = runtimes.load(folder, runtime, device, precision, threads)
    return Model(folder, loaded, Directions.read(folder), PictureEncoder.load(folder), Scorer.load(folder, threads))
