"""What may be used is what is left: of the machine, and of a control group's limit."""

import os

import pytest

from qnb.core.memory import available_memory

GB = 10**9


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    1000 kB\n"}, 1_024_000),
        ({"sys/fs/cgroup/memory.max": "1000\n"}, 1000),
        ({"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "400\n"}, 600),
        (
            {
                "sys/fs/cgroup/memory.max": "1000\n",
                "sys/fs/cgroup/memory.current": "400\n",
                "sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 300\n",
            },
            900,
        ),
        ({"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1400\n"}, 0),
        (
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "300\n",
                "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            },
            800,
        ),
        ({"sys/fs/cgroup/memory.max": "2000\n", "proc/meminfo": "MemAvailable: 1 kB\n"}, 1024),
    ],
)
def test_the_least_of_what_is_left(tmp_path, files, left):
    write(tmp_path, files)
    assert available_memory(tmp_path) == left


def test_without_a_limit_it_is_the_machine(tmp_path):
    whole = available_memory(tmp_path)
    write(tmp_path, {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "400\n"})
    assert available_memory(tmp_path) == whole > 0.1 * GB


def test_of_this_machine():
    assert 0 < available_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
