"""The record: one frozen `Connection` a socket, and what goes with it.

The field order is the key order of JSON and CSV, and the published JSON Schema is generated from
these classes, so that record, output and schema cannot drift apart.
`None` always means "not known or not applicable", never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from netinspect.extended import Memory, Options, TcpInfo

SCHEMA_VERSION = 1

State = Literal[
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "UNCONN",
    "BOUND",
    "UNKNOWN",
]
STATES: tuple[State, ...] = get_args(State)

# What a listener is in; of unix sockets only LISTEN is.
LISTENING: frozenset[State] = frozenset({"LISTEN", "UNCONN"})

Protocol = Literal[
    "tcp",
    "udp",
    "udplite",
    "raw",
    "icmp",
    "unix",
    "mptcp",
    "sctp",
    "packet",
    "netlink",
    "vsock",
]
Family = Literal["ipv4", "ipv6", "unix", "packet", "netlink", "vsock"]
SocketType = Literal["stream", "dgram", "seqpacket", "raw", "rdm"]
OwnerStatus = Literal["known", "hidden", "none", "not_found", "not_requested", "unsupported"]
TimerKind = Literal["retransmit", "keepalive", "time_wait", "zero_window"]
Exposure = Literal["loopback", "link", "private", "public", "any"]
Direction = Literal["inbound", "outbound", "unknown"]
Runtime = Literal["docker", "podman", "containerd", "cri-o", "kubernetes", "lxc", "systemd-nspawn"]


class Table(NamedTuple):
    """One table of the kernel: the sockets of one protocol in one address family."""

    protocol: Protocol
    family: Family


# The tables of the Internet protocols; each of the others has one, of its own name.
_INET: tuple[Protocol, ...] = ("tcp", "udp", "udplite", "raw", "icmp", "mptcp", "sctp")
_INET_FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
EVERY_TABLE: tuple[Table, ...] = (
    *(Table(protocol, family) for protocol in _INET for family in _INET_FAMILIES),
    Table("unix", "unix"),
    Table("packet", "packet"),
    Table("netlink", "netlink"),
    Table("vsock", "vsock"),
)


class Timer(Struct, frozen=True, gc=False):
    """The timer of a TCP socket that is running now."""

    kind: TimerKind
    expires_ms: Annotated[int, Meta(description="milliseconds until it fires")]
    retransmits: Annotated[int, Meta(description="times it has fired without an answer")]


class ParentProcess(Struct, frozen=True, gc=False):
    """An ancestor of a process."""

    pid: int
    process: str | None


class Owner(Struct, frozen=True, gc=False):
    """A process that holds the socket, and the file descriptor by which it does.

    What stands behind `fd` is there only when it was asked for (`--extended`), null when unknown.
    """

    pid: int
    process: Annotated[str | None, Meta(description="the command name the process gives itself")]
    fd: int | None
    command_line: Annotated[
        tuple[str, ...] | UnsetType | None,
        Meta(description="the arguments, the program's own name first; may hold passwords"),
    ] = UNSET
    executable: Annotated[
        str | UnsetType | None, Meta(description="the path of the program that runs")
    ] = UNSET
    executable_deleted: Annotated[
        bool | UnsetType | None, Meta(description="it was deleted or replaced since it was started")
    ] = UNSET
    parents: Annotated[
        tuple[ParentProcess, ...] | UnsetType | None,
        Meta(description="the parent, its parent and so on, up to pid 1"),
    ] = UNSET
    user: Annotated[
        str | UnsetType | None,
        Meta(description="the user that the process acts as; the uid where it has no name"),
    ] = UNSET
    unit: Annotated[
        str | UnsetType | None,
        Meta(description="the systemd unit as systemctl takes it; of a user's service that one"),
    ] = UNSET
    container: Annotated[
        str | UnsetType | None, Meta(description="the id of the container, or its name")
    ] = UNSET
    runtime: Annotated[
        Runtime | UnsetType | None,
        Meta(description="kubernetes: a container of a pod, the runtime cannot be told"),
    ] = UNSET
    started_at: Annotated[str | UnsetType | None, Meta(description="RFC 3339, UTC")] = UNSET


class Connection(Struct, frozen=True, gc=False):
    """One socket."""

    protocol: Protocol
    family: Family
    type: SocketType
    state: State
    local_address: Annotated[
        str | None,
        Meta(
            description="RFC 5952 text, with %zone where the address needs one; 0.0.0.0 and :: are "
            "wildcards; the path of a unix socket, abstract names with a leading @"
        ),
    ]
    remote_address: Annotated[str | None, Meta(description="null when there is no peer")]
    local_port: Annotated[int | None, Meta(description="null for raw, icmp and unix")]
    remote_port: int | None
    ip_protocol: Annotated[int | None, Meta(description="raw sockets: the IP protocol number")]
    interface: Annotated[str | None, Meta(description="the device the socket is bound to")]
    recv_q: Annotated[
        int | None,
        Meta(description="bytes not yet read; LISTEN: connections waiting to be accepted"),
    ]
    send_q: Annotated[
        int | None,
        Meta(description="bytes not yet acknowledged; LISTEN: the backlog limit"),
    ]
    uid: Annotated[int | None, Meta(description="the socket's owner as the kernel has it")]
    user: str | None
    inode: int | None
    cookie: Annotated[int | None, Meta(description="the kernel's own number of the socket")]
    pid: Annotated[int | None, Meta(description="the first owner, by pid")] = None
    process: str | None = None
    owners: Annotated[tuple[Owner, ...], Meta(description="every owner")] = ()
    owner_status: Annotated[
        OwnerStatus,
        Meta(
            description="hidden: a process that could not be looked into may hold it; none: it has "
            "no inode, no process can hold it; not_found: no file descriptor was seen"
        ),
    ] = "not_requested"
    timer: Timer | None = None
    drops: Annotated[int | None, Meta(description="datagrams dropped")] = None
    peer_inode: Annotated[int | None, Meta(description="the other end of a unix socket")] = None
    exposure: Annotated[
        Exposure | None, Meta(description="listeners: from where they can be reached")
    ] = None
    netns: Annotated[
        int | None, Meta(description="network namespace, when more than one was read")
    ] = None
    # These three only where they were asked for; null where they do not apply.
    tcp_info: TcpInfo | UnsetType | None = UNSET
    memory: Memory | UnsetType | None = UNSET
    options: Options | UnsetType | None = UNSET
    dual_stack: Annotated[
        bool | UnsetType,
        Meta(description="only of listeners on ::, where it is told: they take IPv4 as well"),
    ] = UNSET
    direction: Annotated[
        Direction | UnsetType,
        Meta(description="only when asked for: inbound when a listener has the local port"),
    ] = UNSET


class Note(Struct, frozen=True):
    """Something that makes the answer partial, or a thing to know about it."""

    code: str
    count: int | None
    message: str


class Envelope(Struct, frozen=True, kw_only=True):
    """What every JSON document of netinspect begins with."""

    schema_version: int = SCHEMA_VERSION
    host: Annotated[str | None, Meta(description="null: read from a capture that does not tell")]
    platform: Annotated[str | None, Meta(description="as Python has it: linux, darwin, ...")]
    sources: Annotated[
        tuple[str, ...], Meta(description="as --source has them; of captures the formats")
    ]
    taken_at: Annotated[str | None, Meta(description="RFC 3339, UTC")]


class Snapshot(Envelope, frozen=True, kw_only=True):
    """All that was asked for, read at one time."""

    connections: tuple[Connection, ...]
    notes: tuple[Note, ...]


class Count(Struct, frozen=True):
    """How many sockets of one protocol, family and state there are."""

    protocol: Protocol
    family: Family
    state: State
    count: int


class Summary(Envelope, frozen=True, kw_only=True):
    """Counts by protocol, family and state; TCP states that do not occur stand as 0."""

    counts: tuple[Count, ...]
    total: int
    notes: tuple[Note, ...]


def user_or_uid(connection: Connection) -> str | None:
    """The user's name; of a uid without a name the number, as ls(1) has it."""
    user, uid = connection.user, connection.uid
    return str(uid) if user is None and uid is not None else user


def decode_name(raw: bytes) -> str:
    r"""Text of a name that a stranger chose: process, path, user.

    A byte that is not UTF-8 and a NUL become `\xNN`, and a backslash doubles, so that two names
    stay distinct and any JSON or CSV reader can take them:

    >>> decode_name(b"caf\xc3\xa9 \xff \\")
    'café \\xff \\\\'
    """
    if raw.isascii() and b"\\" not in raw and b"\0" not in raw:
        return raw.decode("ascii")
    doubled = raw.replace(b"\\", b"\\\\").replace(b"\0", b"\\x00")
    return doubled.decode("utf-8", "backslashreplace")
