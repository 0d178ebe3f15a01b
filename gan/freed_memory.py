"""What glibc does with memory that was freed: keep it for the process, or return it to the kernel. Elsewhere nothing happens."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from glibc's malloc.h

_LARGE = 4 * 2**20  # bytes; batches of small images, which come and go by the hundred a second, are below
_FREE_AT_THE_END = 16 * 2**20  # bytes that a heap may keep at its end


def keep() -> None:
    """Keep large freed blocks instead of returning each to the kernel, for training.

    Every step frees and allocates the same buffers of tens of megabytes; page faults on them cost a fifth of the time.
    """
    _tell_glibc("mallopt", _M_MMAP_MAX, 0)
    _tell_glibc("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def return_large_blocks() -> None:
    """Return each large freed block to the kernel, for serving.

    By default a large block that is freed makes glibc take all further ones up to its size, at most 32 MiB, from heaps, where
    any small block behind a free one keeps that from being returned. So after answers of tens of megabytes, made in several
    threads, a process would hold memory that it does not use.
    """
    _tell_glibc("mallopt", _M_MMAP_THRESHOLD, _LARGE)
    _tell_glibc("mallopt", _M_TRIM_THRESHOLD, _FREE_AT_THE_END)


def trim() -> None:
    """Return all whole pages that are free now, as after the work of loading a model, of which the next request needs little."""
    _tell_glibc("malloc_trim", 0)


def _tell_glibc(function: str, *arguments: int) -> None:
    if platform.libc_ver()[0] == "glibc":
        getattr(ctypes.CDLL(None), function)(*arguments)
