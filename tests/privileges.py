"""Files as a user finds them who is not root, in tests that root runs."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522  # of linux/capability.h, as are the bits
_READ_AND_WRITE_ALL = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Let permissions hold for the calling thread even if it is root's; os.access, which asks for the real user, is not fooled."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice

    def check(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    check(libc.capget(header, sets))
    effective = sets[0]
    sets[0] &= ~_READ_AND_WRITE_ALL
    check(libc.capset(header, sets))
    try:
        yield
    finally:
        sets[0] = effective
        check(libc.capset(header, sets))
