from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from socket import AF_INET, AF_INET6
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from netinspect.parse.bytecode import encode_condition
from netinspect.query import (
    FALSE,
    TRUE,
    AllOf,
    AnyOf,
    Autobound,
    CgroupId,
    Condition,
    Device,
    Mark,
    Network,
    Not,
    PortRange,
    all_of,
    any_of,
)

Side = Literal["local", "remote"]
NOP, JMP, S_GE, S_LE, D_GE, D_LE, AUTO = 0, 1, 2, 3, 4, 5, 6
S_COND, D_COND, DEV_COND, MARK_COND, CGROUP_COND = 7, 8, 9, 10, 13


class Entry(NamedTuple):
    """struct inet_diag_entry: what the kernel tests of a socket."""

    family: int
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    device: int = 0
    mark: int = 0
    cgroup: int = 0
    is_autobound: bool = False


class Op(NamedTuple):
    """struct inet_diag_bc_op."""

    code: int
    yes: int
    no: int


def op_at(code: bytes, offset: int) -> Op:
    return Op(*struct.unpack_from("=BBH", code, offset))


def run(code: bytes, entry: Entry) -> bool:
    """inet_diag_bc_run() in net/ipv4/inet_diag.c."""
    offset, left = 0, len(code)
    while left > 0:
        op = op_at(code, offset)
        step = op.yes if holds(code, offset, entry) else op.no
        offset, left = offset + step, left - step
    return left == 0


def holds(code: bytes, offset: int, entry: Entry) -> bool:
    op = op_at(code, offset)
    if op.code == NOP:
        return True
    if op.code == JMP:
        return False
    if op.code in (S_COND, D_COND):
        return host_holds(code, offset + 4, entry, is_source=op.code == S_COND)
    if op.code in (AUTO, DEV_COND, MARK_COND, CGROUP_COND):
        return other_holds(op.code, code, offset + 4, entry)
    port = entry.local_port if op.code in (S_GE, S_LE) else entry.remote_port
    limit = op_at(code, offset + 4).no
    return port >= limit if op.code in (S_GE, D_GE) else port <= limit


def host_holds(code: bytes, offset: int, entry: Entry, *, is_source: bool) -> bool:
    family, prefix_length, port = struct.unpack_from("=BBxxi", code, offset)
    wanted = code[offset + 8 :]
    if port not in (-1, entry.local_port if is_source else entry.remote_port):
        return False
    address = entry.local if is_source else entry.remote
    if family not in (0, entry.family):
        is_mapped = address[:12] == bytes(10) + b"\xff\xff"
        if (entry.family, family, is_mapped) != (AF_INET6, AF_INET, True):
            return False
        address = address[12:]
    return bits(address, prefix_length) == bits(wanted, prefix_length)


def other_holds(operation: int, code: bytes, offset: int, entry: Entry) -> bool:
    if operation == AUTO:
        return entry.is_autobound
    if operation == DEV_COND:
        return bool(struct.unpack_from("=I", code, offset)[0] == entry.device)
    if operation == CGROUP_COND:
        return bool(struct.unpack_from("=Q", code, offset)[0] == entry.cgroup)
    mark, mask = struct.unpack_from("=II", code, offset)
    return bool((entry.mark & mask) == mark)


def bits(packed: bytes, count: int) -> str:
    """bitstring_match() compares the first bits, in network byte order."""
    return "".join(f"{byte:08b}" for byte in packed)[:count]


def audit(code: bytes) -> bool:
    """Whether inet_diag_bc_audit() lets the program in."""
    chain = set(yes_chain(code))
    offset = 0
    while offset < len(code):
        left = len(code) - offset
        op = op_at(code, offset)
        smallest = smallest_yes(code, offset)
        if not smallest or left < smallest:
            return False
        if op.code != NOP:
            if op.no < smallest or op.no > left + 4 or op.no & 3:
                return False
            if op.no < left and offset + op.no not in chain:
                return False
        if op.yes < smallest or op.yes > left + 4 or op.yes & 3:
            return False
        offset += op.yes
    return offset == len(code)


def smallest_yes(code: bytes, offset: int) -> int:
    """How long an operation is; 0 when it is not valid."""
    op = op_at(code, offset)
    sizes = {NOP: 4, JMP: 4, AUTO: 4, DEV_COND: 8, MARK_COND: 12, CGROUP_COND: 12}
    if op.code in sizes:
        return sizes[op.code]
    if op.code in (S_GE, S_LE, D_GE, D_LE):  # valid_port_comparison()
        return 8
    if op.code not in (S_COND, D_COND):
        return 0
    family, prefix_length = struct.unpack_from("=BB", code, offset + 4)  # valid_hostcond()
    address_length = {0: 0, AF_INET: 4, AF_INET6: 16}.get(family, -1)
    return 4 + 8 + address_length if 0 <= prefix_length <= 8 * address_length else 0


def yes_chain(code: bytes) -> Iterator[int]:
    """The places by which valid_cc() comes when it follows `yes` from the start."""
    offset = 0
    while offset < len(code):
        yield offset
        yes = op_at(code, offset).yes
        if yes < 4 or yes & 3:
            return
        offset += yes
    yield offset


def meets(condition: Condition, entry: Entry) -> bool:
    """What the program should say, as the query is described."""
    if isinstance(condition, AllOf):
        return all(meets(part, entry) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(meets(part, entry) for part in condition.parts)
    if isinstance(condition, Not):
        return not meets(condition.part, entry)
    match condition:
        case Device():
            return entry.device == condition.index
        case Mark():
            return entry.mark & condition.mask == condition.value
        case CgroupId():
            return entry.cgroup == condition.number
        case Autobound():
            return entry.is_autobound
        case PortRange() | Network():
            return one_holds(condition, entry)
    raise TypeError(condition)


def one_holds(test: PortRange | Network, entry: Entry) -> bool:
    if isinstance(test, PortRange):
        port = entry.local_port if test.side == "local" else entry.remote_port
        return test.low <= port <= test.high
    packed = entry.local if test.side == "local" else entry.remote
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = ipaddress.ip_address(packed)
    if len(test.packed) == 4 and isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped
    network = ipaddress.ip_network((test.packed, test.prefix_length), strict=False)
    return address is not None and address.version == network.version and address in network


# So few values that tests often hold.
PORTS = st.one_of(st.integers(0, 5), st.integers(65530, 65535), st.integers(0, 65535))
SIDES: st.SearchStrategy[Side] = st.sampled_from(["local", "remote"])
V4 = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "10.1.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255"]
)
V6 = st.one_of(
    st.sampled_from(["::", "::1", "2001:db8::1", "2001:db8::2", "fe80::1", "10::"]),
    st.builds("::ffff:{}".format, V4),
)
PACKED4, PACKED6 = (texts.map(lambda text: ipaddress.ip_address(text).packed) for texts in (V4, V6))
FEW = st.integers(0, 3)
OTHERS = (FEW, FEW, FEW, st.booleans())
ENTRIES = st.one_of(
    st.builds(Entry, st.just(int(AF_INET)), PACKED4, PACKED4, PORTS, PORTS, *OTHERS),
    st.builds(Entry, st.just(int(AF_INET6)), PACKED6, PACKED6, PORTS, PORTS, *OTHERS),
)
PORT_RANGES = st.builds(
    lambda side, a, b: PortRange(side, min(a, b), max(a, b)), SIDES, PORTS, PORTS
)
NETWORKS = st.one_of(
    st.builds(Network, SIDES, PACKED4, st.integers(0, 32)),
    st.builds(Network, SIDES, PACKED6, st.integers(0, 128)),
)
LEAVES = st.one_of(
    PORT_RANGES,
    NETWORKS,
    st.builds(Device, st.just("eth0"), FEW),
    st.builds(Mark, FEW, FEW),
    st.builds(CgroupId, FEW),
    st.just(Autobound()),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.lists(parts, max_size=4).map(lambda p: AllOf(tuple(p))),
        st.lists(parts, max_size=4).map(lambda p: AnyOf(tuple(p))),
        parts.map(Not),
    ),
    max_leaves=12,
)


def encode(condition: Condition) -> bytes:
    code = encode_condition(condition)
    assert code is not None
    return code


@settings(max_examples=300)
@given(CONDITIONS, st.lists(ENTRIES, min_size=1, max_size=10))
def test_the_kernel_selects_what_python_selects(condition: Condition, entries: list[Entry]) -> None:
    code = encode(condition)
    assert [run(code, entry) for entry in entries] == [meets(condition, e) for e in entries]


@settings(max_examples=300)
@given(CONDITIONS)
def test_the_kernel_lets_every_program_in(condition: Condition) -> None:
    assert audit(encode(condition))


def test_what_always_holds_is_no_program() -> None:
    assert encode(TRUE) == b""


def test_what_never_holds_is_a_jump_behind_the_end() -> None:
    assert encode(FALSE) == struct.pack("=BBH", JMP, 4, 8)


def test_a_port_byte_by_byte() -> None:
    assert encode(PortRange("local", 22, 22)) == b"".join(
        (
            struct.pack("=BBH", S_GE, 8, 20),
            struct.pack("=BBH", 0, 0, 22),
            struct.pack("=BBH", S_LE, 8, 12),
            struct.pack("=BBH", 0, 0, 22),
        )
    )


def test_two_networks_byte_by_byte() -> None:
    parts = (Network("local", b"\x0a\0\0\0", 8), Network("remote", bytes(15) + b"\1", 128))
    assert encode(AnyOf(parts)) == b"".join(
        (
            struct.pack("=BBH", S_COND, 16, 20),
            struct.pack("=BBxxi", AF_INET, 8, -1),
            b"\x0a\0\0\0",
            struct.pack("=BBH", JMP, 4, 32),
            struct.pack("=BBH", D_COND, 28, 32),
            struct.pack("=BBxxi", AF_INET6, 128, -1),
            bytes(15) + b"\1",
        )
    )


def many_ports(count: int) -> Condition:
    """Each takes 16 bytes, and 4 more for the jump behind all but the last."""
    return any_of(PortRange("local", 2 * n, 2 * n) for n in range(count))


def test_a_program_as_long_as_an_attribute_can_be() -> None:
    code = encode(many_ports(3276))
    assert len(code) == 3276 * 20 - 4 == 65516
    assert audit(code)
    for port, expected in ((0, True), (1, False), (6550, True), (6551, False), (65535, False)):
        assert run(code, Entry(int(AF_INET), bytes(4), bytes(4), port, 0)) == expected


def test_a_longer_program_is_none() -> None:
    assert encode_condition(many_ports(3277)) is None


def test_the_longest_program_to_the_byte() -> None:
    """`no` has 16 bits, and the way out lies 4 bytes behind the end."""
    network = Network("local", bytes(16), 0)
    longest = encode(all_of((many_ports(3275), PortRange("local", 0, 1), PortRange("local", 0, 2))))
    assert len(longest) == 3275 * 20 - 4 + 2 * 16 == 65528
    assert audit(longest)
    assert 3274 * 20 - 4 + 2 * 28 == 65532
    assert encode_condition(AllOf((many_ports(3274), network, network))) is None


def test_the_audit_here_refuses_what_the_kernel_would() -> None:
    good = encode(AnyOf((PortRange("local", 1, 2), PortRange("remote", 1, 2))))
    assert audit(good)
    assert not audit(good[:-4])
    assert not audit(struct.pack("=BBH", JMP, 4, 12))
    assert not audit(struct.pack("=BBH", 99, 4, 8))
    assert not audit(struct.pack("=BBH", S_GE, 8, 12))
    # to the middle of an operation
    assert not audit(good[:2] + struct.pack("=H", 12) + good[4:])
