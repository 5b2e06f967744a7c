"""How much memory an engine may use."""

import os
from pathlib import Path

MEMORY_SHARE = 0.5  # of the memory available when the engine is made


def available_memory() -> int:
    """The least of the physical memory, the memory that Linux reports as available, and the limit of this
    process's control group, in bytes.

    What is in use already under that limit is not subtracted.
    """
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        free.append(
            next(
                int(line.split()[1]) * 1024
                for line in meminfo.read_text().splitlines()
                if line.startswith("MemAvailable")
            )
        )
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if Path(limit).exists() and (text := Path(limit).read_text().strip()).isdigit():
            free.append(int(text))
    return min(free)
