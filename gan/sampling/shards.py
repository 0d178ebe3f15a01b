"""Shards: files of some thousand images each, for training of other models: WebDataset's tar files, parquet, or zip."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from gan.errors import GanServiceError
from gan.model import Model, archives
from gan.sampling.drawing import Drawn, Wanted, draw_encoded

ShardFormat = Literal["webdataset", "parquet", "zip"]
ENDINGS: dict[ShardFormat, str] = {"webdataset": "tar", "parquet": "parquet", "zip": "zip"}
# Dated 1970, so that equal images give equal files
_TAR_HEADER = tarfile.TarInfo("name").tobuf(tarfile.USTAR_FORMAT)


class FormatError(GanServiceError):
    """A format that cannot be written here."""


@dataclass(frozen=True)
class Shard:
    """What the manifest of a set says of one of its files."""

    name: str
    first_seed: int
    last_seed: int
    images: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def name_of(place: int, format: ShardFormat) -> str:
    """The name of the shard at a place, from 0."""
    return f"shard-{place:06d}.{ENDINGS[format]}"


def make(
    model: Model,
    seeds: Sequence[int],  # of this shard
    wanted: Wanted,
    format: ShardFormat,
    name: str,
    on_images: Callable[[int], None] = lambda _: None,  # called with the number of images that were added
) -> tuple[Shard, bytes]:
    """A shard and its bytes, which are the same whenever and wherever it is made.

    Raises UsageError, and FormatError for parquet without pyarrow.
    """
    buffer = io.BytesIO()
    kinds: dict[ShardFormat, type[_Writer]] = {"webdataset": _Tar, "parquet": _Parquet, "zip": _Zip}
    writer = kinds[format](buffer)
    for drawn, encoded in draw_encoded(model, seeds, wanted):
        writer.add(drawn, encoded)
        on_images(len(encoded))
    writer.close()
    content = buffer.getvalue()
    return Shard(name, seeds[0], seeds[-1], len(seeds), hashlib.sha256(content).hexdigest()), content


class _Writer(Protocol):
    """Writes a shard into memory."""

    def __init__(self, buffer: io.BytesIO) -> None: ...

    def add(self, drawn: Drawn, encoded: list[bytes]) -> None:
        """Add images with their files' bytes."""

    def close(self) -> None:
        """Write what comes last."""


class _Tar:
    """WebDataset: an image's files are neighbours of one name: .png, .json, and .cls with the class's index."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer

    def add(self, drawn: Drawn, encoded: list[bytes]) -> None:
        for place, (name, png) in enumerate(zip(drawn.names, encoded, strict=True)):
            self._add(f"{name}.png", png)
            label = drawn.origins.label(place)
            about = {"seed": drawn.seeds[place], **({} if label is None else {"label": label})}
            self._add(f"{name}.json", json.dumps(about).encode())
            if drawn.labels is not None:
                self._add(f"{name}.cls", str(drawn.labels[place]).encode())

    def _add(self, name: str, content: bytes) -> None:
        self._buffer.write(_tar_header(name, len(content)) + content + bytes(-len(content) % tarfile.BLOCKSIZE))

    def close(self) -> None:
        self._buffer.write(bytes(2 * tarfile.BLOCKSIZE))
        self._buffer.write(bytes(-self._buffer.tell() % tarfile.RECORDSIZE))


def _tar_header(name: str, size: int) -> bytes:
    """What tarfile writes before a file of `size` bytes, for a name of up to 100 ASCII letters.

    tarfile itself takes a sixth of the time of a set of small images, and keeps every header until the end.
    """
    block = name.encode().ljust(100, b"\0") + _TAR_HEADER[100:124] + b"%011o\0" % size + _TAR_HEADER[136:]
    return block[:148] + b"%06o\0" % (sum(block) - sum(block[148:155]) + 7 * ord(" ")) + block[155:]


class _Zip:
    """PNG files, as in the service's zip."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._archive = zipfile.ZipFile(buffer, "w")

    def add(self, drawn: Drawn, encoded: list[bytes]) -> None:
        for name, png in zip(drawn.names, encoded, strict=True):
            self._archive.writestr(archives.member(f"{name}.png"), png)

    def close(self) -> None:
        self._archive.close()


class _Parquet:
    """Columns `image` ({bytes, path}, as Hugging Face's datasets have it), `seed`, and `label` where there are any."""

    def __init__(self, buffer: io.BytesIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise FormatError("--format parquet needs pyarrow: install the extra 'bulk'") from error
        self._pyarrow, self._buffer = pyarrow, buffer
        self._writer: Any = None

    def add(self, drawn: Drawn, encoded: list[bytes]) -> None:
        names = [f"{name}.png" for name in drawn.names]
        images = [{"bytes": png, "path": name} for name, png in zip(names, encoded, strict=True)]
        arrow = self._pyarrow
        columns = {"image": arrow.array(images), "seed": arrow.array(drawn.seeds, arrow.uint32())}
        if drawn.labels is not None:
            columns["label"] = arrow.array([drawn.origins.label(place) for place in range(len(images))])
        table = arrow.table(columns)
        if self._writer is None:
            self._writer = arrow.parquet.ParquetWriter(self._buffer, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()
