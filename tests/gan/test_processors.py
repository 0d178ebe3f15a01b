import os

import pytest

from gan import processors
from gan.processors import cgroup_limit, hardware, usable_processors

HYBRID = "9:memory:/box\n4:cpu,cpuacct:/box\n0::/box\n"


def machine(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        # In a container whose group has a name that only the host knows
        ({"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4.0),
        # The tightest of a group and those above it
        (
            {
                "proc/self/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": HYBRID,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": HYBRID,
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_limit_of_the_control_groups_is_found(tmp_path, files, expected):
    assert cgroup_limit(machine(tmp_path, files)) == expected


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (0.5, 1), (1.9, 1), (3.0, 3), (64.0, 8)])
def test_as_many_threads_as_the_limit_and_the_affinity_allow(monkeypatch, limit, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(processors, "cgroup_limit", lambda: limit)
    assert usable_processors() == expected


def test_the_hardware_is_told_by_kind_and_not_by_load(tmp_path):
    def told(name, text, card=None):
        root = tmp_path / name
        (root / "proc").mkdir(parents=True)
        (root / "proc/cpuinfo").write_text(text)
        if card:
            (root / "proc/driver/nvidia/gpus/0").mkdir(parents=True)
            (root / "proc/driver/nvidia/gpus/0/information").write_text(f"Model: \t\t {card}\nIRQ: \t 7\n")
        return hardware(root)

    one = "processor\t: 0\nmodel name\t: A\ncpu MHz\t\t: 2000\nflags\t\t: sse avx2\n\n"
    same = [told("a", one), told("b", one.replace("2000", "3000")), told("c", one + one.replace(": 0", ": 1"))]
    others = [told("d", one.replace("avx2", "avx512")), told("e", one.replace("name\t: A", "name\t: B")), told("f", one, "H100")]
    assert len(set(same)) == 1
    assert len({same[0], *others}) == 4
    assert "2000" not in same[0]
    assert "IRQ" not in others[2]
    assert hardware(tmp_path / "nothing")
    assert hardware() == hardware()
