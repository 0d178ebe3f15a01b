"""What /metrics says of memory: that of the container where one is limited, and of the processes elsewhere."""

import os

import pytest

from serving.memory import MemoryHeld, limited

V1 = {
    "proc/self/cgroup": "9:memory:/box\n1:cpu:/\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "900\n",
    "sys/fs/cgroup/memory/box/memory.stat": "cache 5\ntotal_inactive_file 100\n",
}
V2 = {
    "proc/self/cgroup": "0::/pod/box\n",
    "sys/fs/cgroup/pod/box/memory.max": "max\n",
    "sys/fs/cgroup/pod/box/memory.current": "500\n",
    "sys/fs/cgroup/pod/box/memory.stat": "inactive_file 1\n",
}
POD = {
    "sys/fs/cgroup/pod/memory.max": "1000\n",
    "sys/fs/cgroup/pod/memory.current": "700\n",
    "sys/fs/cgroup/pod/memory.stat": "anon 3\ninactive_file 50\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (V2, None),
        (V2 | POD, (650, 1000)),  # of the group above, which limits it
        (V2 | POD | {"sys/fs/cgroup/pod/box/memory.max": "600\n"}, (499, 600)),
        (V1 | {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        (V1 | {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "1200\n"}, (800, 1200)),
    ],
)
def test_what_counts_against_the_tightest_limit(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert limited(tmp_path) == expected


def samples(memory):
    return {sample.name: sample.value for family in memory.collect() for sample in family.samples}


def test_without_a_limit_it_is_that_of_the_processes(monkeypatch):
    monkeypatch.setattr("serving.memory.limited", lambda: None)
    memory = MemoryHeld()
    found = samples(memory)
    assert set(found) == {"gan_memory_bytes"}
    assert found["gan_memory_bytes"] > 10 * 2**20
    memory.processes = (os.getpid(), os.getpid(), 2**30)  # the last is gone
    assert samples(memory)["gan_memory_bytes"] > 1.5 * found["gan_memory_bytes"]


def test_with_a_limit_both_are_told(monkeypatch):
    monkeypatch.setattr("serving.memory.limited", lambda: (3, 4))
    assert samples(MemoryHeld()) == {"gan_memory_bytes": 3, "gan_memory_limit_bytes": 4}
