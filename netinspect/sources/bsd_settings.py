"""The settings of FreeBSD, OpenBSD and NetBSD, in the words of Linux."""

from __future__ import annotations

from netinspect.parse.sysctl import Settings as Sysctls
from netinspect.settings import Settings
from netinspect.sources.sysctl import read_sysctls

# By the words that make it: the first and the last port that connect() takes
EPHEMERAL = {
    "freebsd": ("net.inet.ip.portrange.first", "net.inet.ip.portrange.last"),
    "openbsd": ("net.inet.ip.portfirst", "net.inet.ip.portlast"),
    "netbsd": ("net.inet.ip.anonportmin", "net.inet.ip.anonportmax"),
}
MSL = "net.inet.tcp.msl"
FIN_WAIT = "net.inet.tcp.finwait2_timeout"
MOST_TIME_WAIT = "net.inet.tcp.maxtcptw"  # up to FreeBSD 13
TIMESTAMPS = "net.inet.tcp.rfc1323"
RESERVED_HIGH = "net.inet.ip.portrange.reservedhigh"
V6ONLY = "net.inet6.ip6.v6only"
NAMES = (MSL, FIN_WAIT, MOST_TIME_WAIT, TIMESTAMPS, RESERVED_HIGH, V6ONLY)


def read_bsd_settings(system: str) -> Settings:
    """What sysctl tells, None for what it does not; see tcp(4), ip(4) and ip6(4).

    OpenBSD gives a port in TIME_WAIT to no other connection, wherever that goes: it looks for ports
    by number alone (in_pcbpickport, netinet/in_pcb.c).

    :param system: freebsd, openbsd or netbsd.
    """
    first, last = EPHEMERAL[system]
    found = read_sysctls(first, last, *(NAMES if system == "freebsd" else (V6ONLY,)))
    low, high = found.number(first), found.number(last)
    reserved_high = found.number(RESERVED_HIGH)
    v6only = found.number(V6ONLY)
    return Settings(
        # The kernels take either end for the higher one.
        ephemeral_range=None if low is None or high is None else (min(low, high), max(low, high)),
        time_wait_seconds=_seconds(found, MSL, times=2),
        tcp_max_tw_buckets=found.number(MOST_TIME_WAIT),
        tcp_timestamps=found.number(TIMESTAMPS),
        tcp_fin_timeout_seconds=_seconds(found, FIN_WAIT),
        unprivileged_port_start=None if reserved_high is None else reserved_high + 1,
        bindv6only=None if v6only is None else bool(v6only),
        is_port_taken_everywhere=system == "openbsd",
    )


def _seconds(found: Sysctls, name: str, times: int = 1) -> float | None:
    milliseconds = found.number(name)
    return None if milliseconds is None else times * milliseconds / 1000
