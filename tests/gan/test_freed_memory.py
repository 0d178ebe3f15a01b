"""What becomes of memory that was freed, as the kernel sees it, in a process of its own for each case."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's allocator")

# Page faults and memory held, both as Linux counts them
BEGINNING = """
import resource, statistics
from pathlib import Path
import numpy as np
from gan import freed_memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def block(mebibytes):
    return np.ones(mebibytes * 2**20, np.uint8)
"""


def numbers(code):
    ran = subprocess.run([sys.executable, "-c", BEGINNING + code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return [float(word) for word in ran.stdout.split()]


def test_in_training_it_is_kept():
    as_it_was, kept = numbers("""
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block(64)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def usual():
    block(64)
    return statistics.median(faults() for _ in range(20))  # the kernel may take pages back now and then by itself

before = usual()
freed_memory.keep()
print(before, usual())
""")
    assert kept < as_it_was / 10


ANSWERS = """
block(30)  # once it is freed, glibc takes all that is smaller from its heap
before = held()
large, small = [], []
for _ in range(10):
    large.append(block({mebibytes}))
    small.append(block(1)[: 2**16].copy())  # stays, behind the large one
large.clear()
"""


def test_in_serving_what_large_answers_held_is_returned():
    left = numbers(ANSWERS.format(mebibytes=16) + "print(held() - before)")
    returned = numbers("freed_memory.return_large_blocks()" + ANSWERS.format(mebibytes=16) + "print(held() - before)")
    assert left[0] > 100
    assert returned[0] < 20


def test_all_whole_pages_are_returned_when_told():
    before, after = numbers(
        "freed_memory.return_large_blocks()"
        + ANSWERS.format(mebibytes=2)
        + "print(held() - before); freed_memory.trim(); print(held() - before)"
    )
    assert before > 10
    assert after < 5
