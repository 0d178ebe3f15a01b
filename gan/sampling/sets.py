"""A set: the images of many seeds in one folder, with a record of what they are, so that a stopped command goes on."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gan.errors import GanServiceError
from gan.manifest import Manifest
from gan.model import Model
from gan.sampling import shards
from gan.sampling.drawing import Wanted, draw_encoded
from gan.sampling.seeds import Seeds
from gan.sampling.shards import Shard, ShardFormat
from gan.sampling.store import Store

RECORD, MANIFEST = "set.json", "manifest.json"  # what a set is to be, written first; and what it is, written last
_SHARD_IMAGES, _SHARD_VALUES = 10_000, 2**28  # at most, by default: values are bytes before images are compressed


class SetError(GanServiceError):
    """A folder that holds something else."""


@dataclass(frozen=True)
class Plan:
    """Which seeds go into which shard."""

    seeds: Seeds
    wanted: Wanted
    format: ShardFormat
    shard_size: int

    def __len__(self) -> int:
        return math.ceil(len(self.seeds) / self.shard_size)

    def name(self, place: int) -> str:
        """The file name of a shard."""
        return shards.name_of(place, self.format)

    def seeds_of(self, place: int) -> list[int]:
        """The seeds of a shard."""
        return self.seeds[place * self.shard_size : (place + 1) * self.shard_size]

    def record(self, title: str) -> dict[str, Any]:
        """What tells sets apart; `title` is the model's name@version."""
        about = {"model": title, "seeds": str(self.seeds), "format": self.format, "shard_size": self.shard_size}
        return about | self.wanted.as_json()


def default_shard_size(manifest: Manifest, scale: int) -> int:
    """Images of a shard: ten thousand, or fewer of large ones."""
    return max(1, min(_SHARD_IMAGES, _SHARD_VALUES // (manifest.channels * manifest.height * manifest.width * scale**2)))


def begin(store: Store, record: dict[str, Any]) -> None:
    """Write the record of a set, or compare it with the one that is there. Raises SetError if that is of another set."""
    if not is_begun(store, record):
        store.put_json(RECORD, record)


def is_begun(store: Store, record: dict[str, Any]) -> bool:
    """Whether a set's record is there. Raises SetError if that of another set is."""
    there = store.get_json(RECORD)
    if there is None:
        return False
    changed = sorted(name for name in record.keys() | there.keys() if record.get(name) != there.get(name))
    if changed:
        differences = ", ".join(f"{name} {there.get(name)!r}, not {record.get(name)!r}" for name in changed)
        raise SetError(f"--out {store.address} holds another set ({differences}): give another folder, or the same flags")
    return True


def unfinished(store: Store, plan: Plan) -> list[int]:
    """The places of shards that are not there. Raises StoreError."""
    names = store.names()
    return [place for place in range(len(plan)) if plan.name(place) not in names]


def make_shard(model: Model, store: Store, plan: Plan, place: int, on_images: Callable[[int], None] = lambda _: None) -> Shard:
    """Make a shard and put it into its place."""
    shard, content = shards.make(model, plan.seeds_of(place), plan.wanted, plan.format, plan.name(place), on_images)
    store.put(shard.name, content)
    return shard


def described(store: Store, plan: Plan, place: int) -> Shard:
    """What the manifest says of a shard that is there already. Raises SetError if it has gone."""
    content = store.get(plan.name(place))
    if content is None:
        raise SetError(f"{plan.name(place)} has gone from {store.address} meanwhile: start again to make it")
    seeds = plan.seeds_of(place)
    return Shard(plan.name(place), seeds[0], seeds[-1], len(seeds), hashlib.sha256(content).hexdigest())


def finish(store: Store, record: dict[str, Any], made: Sequence[Shard]) -> None:
    """Write the manifest of a set whose shards are all there."""
    images = sum(shard.images for shard in made)
    store.put_json(MANIFEST, record | {"images": images, "shards": [shard.as_json() for shard in made]})


def write_files(model: Model, store: Store, seeds: Seeds, wanted: Wanted, on_images: Callable[[int], None]) -> None:
    """A PNG for each seed; those that are there stay as they are, and count at once."""
    there = store.names()
    missing = [seed for seed in seeds if f"seed{seed:010d}.png" not in there]
    on_images(len(seeds) - len(missing))
    for drawn, encoded in draw_encoded(model, missing, wanted):
        for name, png in zip(drawn.names, encoded, strict=True):
            store.put(f"{name}.png", png, durable=False)
        on_images(len(encoded))
