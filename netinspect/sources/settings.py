"""The kernel's settings and counters, as far as this system tells them.

/proc/sys/net shows those of this process's network namespace. Where /proc is mounted with
subset=pid there is no /proc/sys, and nothing is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from netinspect.errors import ParseError, SourceError
from netinspect.parse.proc_counters import parse_counters, parse_sockstat
from netinspect.parse.proc_sys import parse_numbers, parse_ports
from netinspect.settings import Settings
from netinspect.sources.platforms import platform

if TYPE_CHECKING:
    from netinspect.sources.capture import Captures

# TCP_TIMEWAIT_LEN of include/net/tcp.h: no setting changes it, but in the kernels of Alibaba Cloud
# Linux 2 and 3, which have tcp_tw_timeout for it.
TIME_WAIT_SECONDS = 60

T = TypeVar("T")


def read_settings(root: str = "/proc") -> Settings:
    """The settings of this machine.

    :raises SourceError: a setting cannot be understood.
    """
    if platform() == "darwin":
        from netinspect.sources.sysctl import read_macos_settings

        return read_macos_settings()
    if (system := platform().rstrip("0123456789.")) in ("freebsd", "openbsd", "netbsd"):
        from netinspect.sources.bsd_settings import read_bsd_settings

        return read_bsd_settings(system)
    return _read_linux(root) if platform() == "linux" else Settings()


def captured_settings(captures: Captures) -> Settings:
    """What is known of the kernel that captures are from: what no setting of Linux changes."""
    return Settings(time_wait_seconds=TIME_WAIT_SECONDS if captures.is_linux else None)


def read_counters(root: str = "/proc") -> dict[str, int]:
    """The kernel's counters: `Tcp.ActiveOpens`, `TcpExt.TW`, `TCP.tw` and so on.

    Empty where the system does not tell them. See `parse_counters`.

    :raises SourceError: they cannot be understood.
    """
    if platform() != "linux":
        return {}
    folder = f"{root}/self/net"
    return {
        **(_parse_file(f"{folder}/snmp", parse_counters) or {}),
        **(_parse_file(f"{folder}/netstat", parse_counters) or {}),
        **(_parse_file(f"{folder}/sockstat", parse_sockstat) or {}),
    }


def read_uptime() -> float:
    """Seconds since the system was started."""
    import psutil  # 20 ms, and only a few questions need it

    return time.time() - psutil.boot_time()


def _read_linux(root: str) -> Settings:
    folder = f"{root}/sys/net/ipv4"

    def number(path: str) -> int | None:
        numbers = _parse_file(path, lambda text: parse_numbers(text, 1))
        return numbers[0] if numbers else None

    ports = _parse_file(f"{folder}/ip_local_port_range", lambda text: parse_numbers(text, 2))
    bindv6only = number(f"{root}/sys/net/ipv6/bindv6only")
    return Settings(
        ephemeral_range=(ports[0], ports[1]) if ports else None,
        reserved_ports=_parse_file(f"{folder}/ip_local_reserved_ports", parse_ports),
        time_wait_seconds=number(f"{folder}/tcp_tw_timeout") or TIME_WAIT_SECONDS,
        tcp_max_tw_buckets=number(f"{folder}/tcp_max_tw_buckets"),
        tcp_tw_reuse=number(f"{folder}/tcp_tw_reuse"),
        tcp_tw_reuse_delay_ms=number(f"{folder}/tcp_tw_reuse_delay"),
        tcp_timestamps=number(f"{folder}/tcp_timestamps"),
        tcp_fin_timeout_seconds=number(f"{folder}/tcp_fin_timeout"),
        unprivileged_port_start=number(f"{folder}/ip_unprivileged_port_start"),
        bindv6only=None if bindv6only is None else bool(bindv6only),
    )


def _parse_file(path: str, parse: Callable[[str], T]) -> T | None:
    """What the file says; None where it is not there, or not for us.

    :raises SourceError: it says something else.
    """
    try:
        with open(path, encoding="ascii", errors="backslashreplace") as file:
            return parse(file.read())
    except ParseError as error:
        raise SourceError(f"{path}: {error}") from None
    except OSError:
        return None
