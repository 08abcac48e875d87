"""sysctl: the settings of kernels that have no /proc/sys."""

from __future__ import annotations

from netinspect.errors import RefusedError
from netinspect.parse.sysctl import Settings as Sysctls
from netinspect.parse.sysctl import read_settings
from netinspect.settings import Settings
from netinspect.sources.commands import Command
from netinspect.sources.platforms import platform


def read_sysctls(*names: str) -> Sysctls:
    """The settings of these names; what this kernel does not have, or tell, is absent."""
    path = "/usr/sbin/sysctl" if platform() == "darwin" else "/sbin/sysctl"
    try:
        return read_settings(Command(path, *names, partial_status=1))
    except RefusedError:
        return Sysctls()


def read_macos_settings() -> Settings:
    """The settings of a Mac, in the words of Linux.

    TIME_WAIT lasts two msl (netinet/tcp_timer.h). A port of one's own in it is not given to another
    connection, wherever that goes: ports are looked for by number alone (netinet/in_pcb.c).
    """
    first, last = "net.inet.ip.portrange.first", "net.inet.ip.portrange.last"
    msl, fin_timeout = "net.inet.tcp.msl", "net.inet.tcp.fin_timeout"
    found = read_sysctls(first, last, msl, fin_timeout)
    low, high, msl_ms = found.number(first), found.number(last), found.number(msl)
    fin_timeout_ms = found.number(fin_timeout)
    return Settings(
        ephemeral_range=None if low is None or high is None else (low, high),
        time_wait_seconds=None if msl_ms is None else 2 * msl_ms / 1000,
        tcp_fin_timeout_seconds=None if fin_timeout_ms is None else fin_timeout_ms / 1000,
        is_port_taken_everywhere=True,
    )
