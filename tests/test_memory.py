"""Available memory: system, containers, limits of the shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpuclust.core.memory import available_memory

GB = 10**9


@pytest.fixture
def machine(tmp_path):
    """Writes files of a machine, of which /proc/meminfo has 16 GiB available; the function returns what is left."""

    def write(**files: str) -> int:
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/meminfo").write_text("MemTotal: 33554432 kB\nMemAvailable:   16777216 kB\n")
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_memory(tmp_path)

    return write


def test_without_limits_it_is_what_the_system_has(machine, tmp_path):
    assert machine() == 2**34
    assert available_memory(tmp_path / "nothing here") == 2**63 - 1
    group = {"proc/self/cgroup": "0::/user/me\n", "sys/fs/cgroup/user/me/memory.max": "max\n"}
    assert machine(**group, **{"sys/fs/cgroup/user/me/memory.current": "1000\n"}) == 2**34


@pytest.mark.parametrize("path", ["/", "/pod/app", "/../../other"])
def test_limit_of_a_container(machine, path):
    """Its own group is the root of what it sees, whatever the host calls it."""
    left = machine(
        **{
            "proc/self/cgroup": f"0::{path}\n",
            "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
            "sys/fs/cgroup/memory.current": f"{3 * GB}\n",
            "sys/fs/cgroup/memory.stat": f"anon 1\nfile 2\ninactive_file {GB // 2}\n",
        }
    )
    assert left == GB + GB // 2  # page cache is given back when it is needed


def test_limits_of_groups_above_count_too(machine):
    files = {"proc/self/cgroup": "0::/slice/pod/app\n"}
    for path, limit, used in (("slice/pod/app", 8, 1), ("slice/pod", 4, 2), ("slice", 100, 50)):
        files |= {f"sys/fs/cgroup/{path}/memory.max": f"{limit * GB}"}
        files |= {f"sys/fs/cgroup/{path}/memory.current": f"{used * GB}"}
    assert machine(**files) == 2 * GB


@pytest.mark.parametrize("visible", ["docker/1f/", ""])
def test_first_version_of_control_groups(machine, visible):
    folder = f"sys/fs/cgroup/memory/{visible}"
    left = machine(
        **{
            "proc/self/cgroup": "12:cpu,cpuacct:/docker/1f\n5:memory:/docker/1f\n0::/x\n",
            f"{folder}memory.limit_in_bytes": str(2 * GB),
            f"{folder}memory.usage_in_bytes": str(GB),
            f"{folder}memory.stat": f"cache 7\ntotal_inactive_file {GB // 4}\n",
        }
    )
    assert left == GB + GB // 4


def test_limits_of_the_shell(machine):
    files = {
        "proc/self/status": "VmSize:   2000000 kB\nVmData:  500000 kB\n",
        "proc/self/limits": "Max data size             unlimited            unlimited            bytes\n"
        "Max address space         3072000000           unlimited            bytes\n",
    }
    assert machine(**files) == 3_072_000_000 - 2_048_000_000
    assert machine(**files | {"proc/self/limits": "Max data size    400000000  unlimited  bytes\n"}) == 0


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux")
def test_a_job_that_ulimit_leaves_no_room_for_is_refused():
    program = (
        "import resource, gpuclust\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 * 10**9, 4 * 10**9))\n"
        "job = gpuclust.plan(50_000, None, 'average', device='cpu')\n"
        "print(job.fits, job.limit < 4 * 10**9, job.what_would_fit()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False True ")
