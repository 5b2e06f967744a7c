"""How much memory an engine may use."""

import os
import re
from pathlib import Path

MEMORY_SHARE = 0.5  # of the memory available when the engine is made
# of a control group, version 2 and 1: its limit, its use, and in memory.stat what the system can take back
GROUPS = (
    ("sys/fs/cgroup/memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory(root: Path = Path("/")) -> int:
    """The least of the physical memory, the memory that Linux reports as available, and what the limit of
    this process's control group leaves, in bytes.

    Args:
        root: where proc/ and sys/ are.
    """
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if (meminfo := root / "proc/meminfo").exists():
        free += [1024 * int(kB) for kB in re.findall(r"^MemAvailable: +(\d+)", meminfo.read_text(), re.M)]
    for limit, use, reclaimable in GROUPS:
        path = root / limit
        if path.exists() and (text := path.read_text().strip()).isdigit():
            free.append(max(0, int(text) - _in_use(path.parent, use, reclaimable)))
    return min(free)


def _in_use(group: Path, use: str, reclaimable: str) -> int:
    """Bytes that a control group uses, without the files that it has read and could read again."""
    used, stat = group / use, group / "memory.stat"
    cached = re.findall(rf"^{reclaimable} (\d+)$", stat.read_text(), re.M) if stat.exists() else []
    return max(0, int(used.read_text()) - sum(map(int, cached))) if used.exists() else 0
