"""Training that has become much slower: other programs have come to the processors."""

SLOWER = (
    "training is less than half as fast as it was: other programs use the processors, and several threads then wait for each "
    "other; stop this run, and go on with --resume latest --threads 1, which is often faster"
)
_MINUTE = 60.0


class Slowdown:
    """Notices, once, that training has become much slower than it was."""

    def __init__(self) -> None:
        self._images, self._seconds, self._fastest, self._noticed = 0, 0.0, 0.0, False

    def notices(self, images: int, seconds: float) -> bool:
        """Count so many more images, trained in so many seconds; whether the last minute was less than half as fast as another."""
        self._images, self._seconds = self._images + images, self._seconds + seconds
        if self._seconds < _MINUTE or self._noticed:
            return False
        speed, self._images, self._seconds = self._images / self._seconds, 0, 0.0
        self._noticed, self._fastest = speed < self._fastest / 2, max(speed, self._fastest)
        return self._noticed
