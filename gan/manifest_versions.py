"""model.json as bytes -> a manifest, whichever version of this program wrote it."""

import reprlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from gan.errors import ModelFolderError
from gan.latents import Code, Distribution, InputSpec
from gan.manifest import GENERATOR_FILES, MANIFEST, Manifest, generator_inputs, image_output
from gan.manifest_parts import NAME, Architecture, Export, ManifestModel, Metric, Network, Sampling, Trained

_DEVIATION = "deviation/"


class _Version1(ManifestModel):
    """model.json as versions 0.1 of this program wrote it."""

    format_version: Literal[1] = 1
    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern="^[0-9a-f]{12}$")
    architecture: Architecture
    z_dim: int = Field(gt=0)
    latent: Distribution = "normal"
    channels: Literal[1, 3]
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    classes: list[str] | None = Field(None, min_length=1)
    codes: list[Code] = Field([])
    sampling: Sampling = Sampling(truncation=None)
    exports: dict[str, Export]
    origin: Trained
    metrics: list[Metric] = Field([])
    licence: str
    files: dict[str, str]

    def as_version_2(self) -> Manifest:
        """Convert to version 2. Raises ValidationError for inputs of one name."""
        labels = None if self.classes is None else len(self.classes)
        input_spec = InputSpec(self.z_dim, self.latent, labels, tuple(self.codes))
        files = {kind: name for kind, name in GENERATOR_FILES.items() if name in self.files}
        return Manifest(
            name=self.name,
            version=self.version,
            inputs=generator_inputs(input_spec, self.classes),
            outputs=[image_output(self.channels, self.height, self.width)],
            networks={"generator": Network(architecture=self.architecture, files=files, exports=self.exports)},
            sampling=self.sampling,
            origin=self.origin,
            metrics=_with_deviations(self.metrics),
            licence=self.licence,
            files=self.files,
        )


def _with_deviations(rows: list[Metric]) -> list[Metric]:
    """Measures with their standard deviations, which version 1 has in rows of their own, called deviation/<measure>."""
    deviations = {row.name.removeprefix(_DEVIATION): row for row in rows if row.name.startswith(_DEVIATION)}
    return [
        row
        if row.name not in deviations
        else row.model_copy(update={"deviation": deviations[row.name].value, "real_deviation": deviations[row.name].real})
        for row in rows
        if not row.name.startswith(_DEVIATION)
    ]


class _AnyVersion(BaseModel):
    format_version: int = 1


def _what_is_wrong(error: ValidationError) -> str:
    """The first wrong field, the reason, a closing bracket and the remedy."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the whole file"
    if first["type"] == "json_invalid":
        return f"{field}: {first['msg']}): copy the model folder again, or save the file as UTF-8 if an editor has changed it"
    given = reprlib.repr(first["input"])
    if field == "name":
        return f"name: {given}): give it 1 to 100 of the letters a-z, digits, dots, _ and -, a letter or digit first"
    return f"{field}: {first['msg']}, not {given}): copy the model folder again, or update this program if a newer one wrote it"


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest in the model.json found at `where`, which may be of version 1. Raises ModelFolderError as `read` does."""
    text = text.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that editors on Windows write
    try:
        if _AnyVersion.model_validate_json(text).format_version == 1:
            manifest = _Version1.model_validate_json(text).as_version_2()
        else:
            manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ModelFolderError(f"{where} is not a manifest this version understands ({_what_is_wrong(error)}") from error
    for name in [*manifest.files, *(name for network in manifest.networks.values() for name in network.files.values())]:
        if Path(name).name != name or name in ("", "..", MANIFEST) or "\0" in name:
            raise ModelFolderError(f"{where} names a file that is none of its folder's ({name!r}): do not use this model folder")
    return manifest
