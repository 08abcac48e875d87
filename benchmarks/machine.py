"""What the measurements were made on: enough to judge them, nothing that says where."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

# The first line that has a version in it, of what each program says.
VERSION_QUESTIONS = {"ss": "-V", "lsof": "-v", "netstat": "--version"}
PACKAGES = ("click", "msgspec", "psutil")
NUMBER = re.compile(r"\d+(\.\d+)+")


def describe(peer: str) -> dict[str, str]:
    """The machine, and the versions of everything that is compared."""
    peers = {**{name: name for name in VERSION_QUESTIONS}, "ss": peer}
    return {
        "processors": f"{len(os.sched_getaffinity(0))} x {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        # what follows the second number may name who built it
        "kernel": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "Python": f"{platform.python_version()} ({platform.python_compiler()})",
        **{name: _package_version(name) for name in PACKAGES},
        **{name: _program_version(name, path) for name, path in peers.items()},
    }


def sentence(machine: dict[str, str]) -> str:
    """On one line."""
    return ", ".join(
        value if name in ("processors", "memory", "kernel") else f"{name} {value}"
        for name, value in machine.items()
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _program_version(name: str, path: str) -> str:
    if not shutil.which(path):
        return "not installed"
    command = [path, VERSION_QUESTIONS[name]]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = NUMBER.search(said.stdout + said.stderr)
    return found.group() if found else "unknown"
