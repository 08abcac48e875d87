"""What the kernel has been told about ports and closed connections, whichever system it is."""

from __future__ import annotations

from msgspec import Struct

PORTS = 1 << 16


class Settings(Struct, frozen=True, kw_only=True):
    """The kernel's settings; None: this system has no such setting, or does not tell.

    The names are those of Linux (Documentation/networking/ip-sysctl.rst). Ranges include both ends.
    """

    ephemeral_range: tuple[int, int] | None = None  # whence connect() takes local ports
    reserved_ports: tuple[tuple[int, int], ...] | None = None  # which connect() leaves out
    time_wait_seconds: float | None = None
    tcp_max_tw_buckets: int | None = None
    tcp_tw_reuse: int | None = None  # 0 never, 1 always, 2 where an end is loopback
    tcp_tw_reuse_delay_ms: int | None = None  # older kernels: a second, always
    tcp_timestamps: int | None = None
    tcp_fin_timeout_seconds: float | None = None
    unprivileged_port_start: int | None = None  # below it bind() takes a privilege
    bindv6only: bool | None = None  # whether a new IPv6 socket takes no IPv4
    # Whether a port in TIME_WAIT is taken for every destination, and not for its own alone
    is_port_taken_everywhere: bool = False
