"""Which pictures of a set without a test split are held out: decided by their content alone."""

import hashlib
from collections.abc import Sequence

_SMALLEST_SET = 200  # a smaller one needs all its pictures
_ONE_IN = 20
_LEAST, _MOST = 10, 2000


def held_out_places(digests: Sequence[bytes]) -> list[int]:
    """The places, ascending, of those to hold out, given the SHA-256 of each: about 1 in 20, at most 2,000, or none.

    A picture stays on its side when others come or are renamed (but for the limit), and so do all copies of it.
    """
    if len(digests) < _SMALLEST_SET:
        return []
    chosen = [place for place, digest in enumerate(digests) if int.from_bytes(digest) % _ONE_IN == 0]
    chosen = sorted(chosen, key=lambda place: (digests[place], place))[:_MOST]
    return sorted(chosen) if len(chosen) >= _LEAST else []


def digest(content: bytes | memoryview) -> bytes:
    """SHA-256."""
    return hashlib.sha256(content).digest()
