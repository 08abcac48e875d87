from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import netinspect
from netinspect.errors import UsageError
from netinspect.extended import Options
from netinspect.grouping.keys import DETAIL_KEYS, KEY_WORDS, OWNER_KEYS, Grouping, parse_grouping
from netinspect.grouping.order import arrange, take_largest
from netinspect.grouping.record import KEYS, MEASURES, Group, LeftOut
from netinspect.grouping.tally import Tally
from netinspect.model import Connection, Owner, State
from tests.records import made

QUEUE_SUMS = ("recv_q", "send_q", "waiting", "backlog_limit")


def details(pid: int) -> SimpleNamespace:
    """What a process tells of itself: two processes a unit, one in a container."""
    unit = None if pid == 9 else f"unit{pid // 2}.service"
    return SimpleNamespace(unit=unit, container="c" * 64 if pid == 1 else None, runtime=None)


def grouped(connections: Iterable[Connection], by: str, **options: Any) -> list[Group]:
    """The groups by these keys, of sockets that come two at a time."""
    grouping = parse_grouping(by.split(","), **options)
    rows = list(connections)
    tally = Tally(grouping, details)
    for i in range(0, len(rows), 2):
        tally.add(rows[i : i + 2])
    return take_largest(arrange(tally.groups(), grouping), grouping)[0]


def shown(groups: Iterable[Group], *names: str) -> list[tuple[Any, ...]]:
    """These keys and sums of each group."""
    return [tuple(getattr(group, name) for name in names) for group in groups]


def owned(*owners: tuple[int, str | None], **keys: Any) -> Connection:
    """A socket that these processes hold."""
    holders = tuple(Owner(pid, name, 3) for pid, name in owners)
    return made(owners=holders, pid=holders[0].pid, process=holders[0].process, **keys)


def unowned(status: str = "none", **keys: Any) -> Connection:
    return made(owners=(), pid=None, process=None, owner_status=status, **keys)


def listener(waiting: int | None, limit: int | None, **keys: Any) -> Connection:
    return made(
        state="LISTEN",
        remote_address=None,
        remote_port=None,
        recv_q=waiting,
        send_q=limit,
        **keys,
    )


class TestSums:
    def test_one_group(self) -> None:
        rows = [
            made(recv_q=5, send_q=0),
            made(recv_q=0, send_q=0, state="TIME_WAIT"),
            made(recv_q=1, send_q=7),
            listener(2, 128),
            listener(3, 10),
        ]
        assert grouped(rows, "protocol") == [
            Group(
                protocol="tcp",
                count=5,
                states={"ESTABLISHED": 2, "TIME_WAIT": 1, "LISTEN": 2},
                recv_q=6,
                send_q=7,
                listeners=2,
                waiting=5,
                backlog_limit=138,
            )
        ]

    def test_nothing(self) -> None:
        assert grouped([], "process") == []

    def test_empty_queues_are_0(self) -> None:
        (group,) = grouped([made(recv_q=0, send_q=0)], "state")
        assert (group.recv_q, group.send_q, group.waiting, group.backlog_limit) == (
            0,
            0,
            None,
            None,
        )

    def test_of_listeners_alone_there_are_no_bytes(self) -> None:
        (group,) = grouped([listener(0, 128)], "state")
        assert shown([group], *QUEUE_SUMS) == [(None, None, 0, 128)]

    def test_what_no_socket_tells_is_not_0(self) -> None:
        rows = [made(recv_q=None, send_q=None), listener(4, None)]
        (group,) = grouped(rows * 2, "protocol")
        assert shown([group], *QUEUE_SUMS) == [(None, None, 8, None)]

    def test_what_some_sockets_tell_is_summed_up(self) -> None:
        rows = [made(recv_q=None, send_q=3), made(recv_q=2, send_q=None), made(recv_q=0, send_q=0)]
        (group,) = grouped(rows, "protocol")
        assert (group.recv_q, group.send_q) == (2, 3)

    def test_of_udp_the_bytes_are_bytes(self) -> None:
        (group,) = grouped([made(protocol="udp", state="UNCONN", recv_q=9, send_q=0)], "protocol")
        assert (group.recv_q, group.listeners, group.waiting) == (9, 0, None)


class TestOwners:
    def test_a_shared_socket_is_in_the_group_of_each_process(self) -> None:
        rows = [owned((7, "nginx"), (8, "nginx"), (9, "helper")), owned((7, "nginx"))]
        by_pid = grouped(rows, "pid")
        assert shown(by_pid, "pid", "count") == [(7, 2), (8, 1), (9, 1)]
        by_name = grouped(rows, "process")
        assert shown(by_name, "process", "count") == [("nginx", 2), ("helper", 1)]
        both = grouped(rows, "process,pid")
        assert shown(both, "process", "pid", "count") == [
            *(("nginx", 7, 2), ("helper", 9, 1), ("nginx", 8, 1)),
        ]

    def test_two_descriptors_of_one_process_are_one_socket(self) -> None:
        row = made(owners=(Owner(7, "a", 3), Owner(7, "a", 4)), pid=7, process="a")
        assert shown(grouped([row], "pid"), "pid", "count") == [(7, 1)]

    def test_other_keys_do_not_multiply_sockets(self) -> None:
        rows = [owned((7, "nginx"), (8, "nginx"))]
        assert shown(grouped(rows, "protocol"), "count") == [(1,)]

    def test_the_total_counts_each_socket_once(self) -> None:
        grouping = parse_grouping(["pid"])
        tally = Tally(grouping)
        tally.add([owned((7, "a"), (8, "b")), unowned()])
        tally.add([owned((7, "a"))])
        assert tally.total == 3
        assert sum(group.count for group in tally.groups()) == 4

    def test_null_says_why(self) -> None:
        rows = [unowned("hidden"), unowned("none"), unowned("none"), owned((7, None))]
        assert shown(grouped(rows, "process"), "process", "owner_status", "count") == [
            (None, "none", 2),
            (None, "hidden", 1),
            (None, "known", 1),
        ]

    def test_the_reason_is_there_only_with_a_key_of_an_owner(self) -> None:
        (group,) = grouped([unowned()], "protocol")
        assert msgspec.to_builtins(group)["protocol"] == "tcp"
        assert "owner_status" not in msgspec.to_builtins(group)

    def test_units_and_containers(self) -> None:
        rows = [owned((2, "a"), (3, "a"), (4, "b")), owned((1, "c")), owned((9, "d")), unowned()]
        assert shown(grouped(rows, "unit"), "unit", "owner_status", "count") == [
            ("unit0.service", "known", 1),
            ("unit1.service", "known", 1),
            ("unit2.service", "known", 1),
            (None, "known", 1),
            (None, "none", 1),
        ]
        assert shown(grouped(rows, "container"), "container", "owner_status", "count") == [
            (None, "known", 2),
            ("c" * 64, "known", 1),
            (None, "none", 1),
        ]

    def test_a_process_is_looked_at_once(self) -> None:
        seen: list[int] = []

        def look(pid: int) -> SimpleNamespace:
            seen.append(pid)
            return details(pid)

        tally = Tally(parse_grouping(["unit"]), look)
        for _ in range(3):
            tally.add([owned((4, "a")), owned((5, "a")), unowned()])
        assert seen == [4, 5]


class TestOrder:
    def test_the_largest_first(self) -> None:
        rows = [made(user=name) for name in "abbbcc"]
        assert shown(grouped(rows, "user"), "user", "count") == [("b", 3), ("c", 2), ("a", 1)]

    def test_numbers_by_size_and_none_last(self) -> None:
        rows = [made(local_port=port) for port in (443, None, 8080, 22, 9)]
        assert shown(grouped(rows, "local_port"), "local_port") == [
            *((9,), (22,), (443,), (8080,), (None,))
        ]

    def test_addresses_by_address(self) -> None:
        addresses = ["::1", "10.0.0.10", "/run/x", "9.9.9.9", "fe80::1%eth0", "10.0.0.9", None]
        rows = [made(remote_address=address) for address in addresses]
        assert shown(grouped(rows, "remote_address"), "remote_address") == [
            *(("9.9.9.9",), ("10.0.0.9",), ("10.0.0.10",), ("::1",), ("fe80::1%eth0",)),
            *(("/run/x",), (None,)),
        ]

    def test_ties_by_all_keys(self) -> None:
        rows = [made(local_port=port, user=user) for port in (9, 10) for user in "ba"]
        assert shown(grouped(rows, "local_port,user"), "local_port", "user") == [
            *((9, "a"), (9, "b"), (10, "a"), (10, "b"))
        ]

    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            (["count"], "abc"),
            (["-count"], "cba"),
            (["recv_q"], "bca"),
            (["-recv_q"], "cba"),
            (["-user"], "cba"),
            (["send_q"], "cba"),
            (["send_q", "user"], "abc"),
        ],
        ids=str,
    )
    def test_sort(self, sort: list[str], order: str) -> None:
        rows = [
            made(user="a", recv_q=None, send_q=0),
            *[made(user="b", recv_q=1, send_q=0)] * 2,
            *[made(user="c", recv_q=2, send_q=0)] * 3,
        ]
        groups = grouped(rows, "user", sort=sort)
        assert "".join(user for (user,) in shown(groups, "user")) == order

    def test_sort_by_what_waits(self) -> None:
        rows = [listener(1, 9, user="a"), made(user="b"), listener(5, 2, user="c")]
        groups = grouped(rows, "user", sort=["-waiting"])
        assert shown(groups, "user", "waiting") == [("c", 5), ("a", 1), ("b", None)]


class TestTop:
    ROWS = (
        *[made(user="a", recv_q=9)],
        *[made(user="b", recv_q=1)] * 2,
        *[made(user="c", recv_q=0)] * 3,
        *[made(user="d", recv_q=None)] * 4,
    )

    @pytest.mark.parametrize(
        ("top", "sort", "users"),
        [
            (1, [], "d"),
            (2, [], "dc"),
            (4, [], "dcba"),
            (9, [], "dcba"),
            (2, ["count"], "cd"),
            (2, ["-recv_q"], "ab"),
            (2, ["recv_q"], "ba"),
            (3, ["recv_q"], "cba"),
            (4, ["recv_q"], "cbad"),
            (2, ["user"], "cd"),
            (2, ["user", "-recv_q"], "ab"),
        ],
        ids=str,
    )
    def test_the_largest_stay_in_their_order(self, top: int, sort: list[str], users: str) -> None:
        groups = grouped(self.ROWS, "user", sort=sort, top=top)
        assert "".join(user for (user,) in shown(groups, "user")) == users

    def test_what_is_left_out(self) -> None:
        grouping = parse_grouping(["user"], top=1)
        tally = Tally(grouping)
        tally.add(list(self.ROWS))
        groups, left_out = take_largest(arrange(tally.groups(), grouping), grouping)
        assert (shown(groups, "count"), left_out) == ([(4,)], LeftOut(groups=3, count=6))

    def test_nothing_is_left_out(self) -> None:
        for top in (None, 1):
            assert take_largest([], Grouping(("user",), top=top)) == ([], LeftOut(0, 0))


class TestWords:
    @pytest.mark.parametrize(
        ("by", "keys"),
        [
            (["process"], ("process", "owner_status")),
            (["Remote-Address", "STATE"], ("remote_address", "state")),
            (["remote"], ("remote_address", "remote_port")),
            (["local", "local_port"], ("local_address", "local_port")),
            (["proto"], ("protocol", "family")),
            (["owner_status", "unit"], ("owner_status", "unit")),
            (["state", "state"], ("state",)),
        ],
    )
    def test_keys(self, by: list[str], keys: tuple[str, ...]) -> None:
        assert parse_grouping(by).keys == keys

    @pytest.mark.parametrize("word", KEY_WORDS)
    def test_owners_are_looked_for_only_when_a_key_needs_them(self, word: str) -> None:
        assert parse_grouping([word]).needs_owners == (word in OWNER_KEYS)
        assert parse_grouping([word]).needs_details == (word in DETAIL_KEYS)
        assert parse_grouping([word]).needs_extended == (word == "cgroup")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"by": ["proces"]}, "unknown key 'proces'; did you mean process?"),
            ({"by": ["zzz"]}, f"unknown key 'zzz'; expected one of {', '.join(KEY_WORDS)}"),
            ({"by": [""]}, f"unknown key ''; expected one of {', '.join(KEY_WORDS)}"),
            ({"by": []}, f"nothing to group by; expected one of {', '.join(KEY_WORDS)}"),
            (
                {"by": ["state"], "sort": ["-recvq"]},
                "unknown key of a group 'recvq'; did you mean recv_q?",
            ),
            (
                {"by": ["state"], "sort": ["zzz"]},
                "unknown key of a group 'zzz'; expected one of state, " + ", ".join(MEASURES),
            ),
            ({"by": ["state"], "top": 0}, "top 0: expected at least 1 group"),
            ({"by": ["state"], "top": -3}, "top -3: expected at least 1 group"),
        ],
    )
    def test_wrong_words(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_grouping(**arguments)
        assert str(caught.value) == message

    def test_no_key_is_called_like_a_sum(self) -> None:
        assert set(KEYS).isdisjoint((*MEASURES, "states"))


def test_the_direction_is_null_when_nobody_asked_for_it() -> None:
    rows = [made(direction="inbound"), made(), made(direction="inbound")]
    assert shown(grouped(rows, "direction"), "direction", "count") == [
        ("inbound", 2),
        (None, 1),
    ]


def test_cgroups_of_sockets() -> None:
    """Of some the kernel tells no options, or the cgroup has gone; or nobody asked for them."""
    paths = ("/a.slice", "/b.slice", "/a.slice", None)
    rows = [made(options=Options(cgroup=path)) for path in paths]
    rows += [made(options=None, state="TIME_WAIT"), made()]
    assert shown(grouped(rows, "cgroup"), "cgroup", "count") == [
        *((None, 3), ("/a.slice", 2), ("/b.slice", 1)),
    ]
    assert shown(grouped(rows, "cgroup", sort=["-cgroup"]), "cgroup") == [
        *(("/b.slice",), ("/a.slice",), (None,)),
    ]


def test_a_user_without_a_name_is_the_uid() -> None:
    rows = [made(uid=54321, user=None), made(uid=0, user="root"), unowned(uid=None, user=None)]
    assert shown(grouped(rows, "user"), "user") == [("54321",), ("root",), (None,)]


def test_what_a_record_tells_of_its_owners_is_not_looked_up() -> None:
    told = Owner(7, "a", 3, unit="a.service", container=None, runtime=None)
    shared = made(owners=(told, Owner(9, "b", 3, unit="b.service")), pid=7, process="a")
    groups = grouped([shared, owned((7, "a")), owned((9, "b"))], "process,unit")
    assert shown(groups, "process", "unit", "count") == [
        *(("a", "a.service", 1), ("a", "unit3.service", 1)),
        *(("b", "b.service", 1), ("b", None, 1)),
    ]
    assert shown(grouped([shared], "pid,container"), "pid", "container") == [(7, None), (9, None)]


def test_from_python() -> None:
    rows = [owned((7, "a"), state="LISTEN"), owned((7, "a")), owned((8, "b"))]
    groups = netinspect.group_by(rows, "process", "state", sort="-process", top=2)
    assert shown(groups, "process", "state", "count") == [
        ("b", "ESTABLISHED", 1),
        ("a", "ESTABLISHED", 1),
    ]
    with pytest.raises(UsageError):
        netinspect.group_by(rows)


OWNERS = st.lists(
    st.builds(Owner, st.integers(1, 4), st.sampled_from(["a", "b", None]), st.integers(3, 5)),
    max_size=3,
).map(tuple)
BY = ("pid", "process", "unit", "owner_status", "state", "protocol", "local_port", "remote_address")
QUEUES = st.sampled_from([0, 0, 0, 1, 70, None])


@st.composite
def sockets(draw: st.DrawFn) -> Connection:
    """A socket out of few kinds, so that groups have several."""
    owners = draw(OWNERS)
    return made(
        state=draw(st.sampled_from(["ESTABLISHED", "LISTEN", "UNCONN", "TIME_WAIT"])),
        protocol=draw(st.sampled_from(["tcp", "udp"])),
        local_port=draw(st.sampled_from([80, 443, None])),
        remote_address=draw(st.sampled_from(["10.0.0.1", "::1", None])),
        recv_q=draw(QUEUES),
        send_q=draw(QUEUES),
        owners=owners,
        pid=owners[0].pid if owners else None,
        process=owners[0].process if owners else None,
        owner_status="known" if owners else draw(st.sampled_from(["none", "hidden"])),
    )


def memberships(connection: Connection, keys: Iterable[str]) -> set[tuple[Any, ...]]:
    """The groups that a socket is in, worked out one owner at a time."""
    owners: list[tuple[int | None, str | None]] = [(o.pid, o.process) for o in connection.owners]
    found = set()
    for pid, process in owners or [(None, None)]:
        values = {
            "pid": pid,
            "process": process,
            "unit": None if pid is None else details(pid).unit,
        }
        found.add(tuple(values[k] if k in values else getattr(connection, k) for k in keys))
    return found


def known_sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


@given(
    st.lists(sockets(), max_size=12),
    st.lists(
        st.sampled_from(BY),
        min_size=1,
        max_size=3,
        unique=True,
    ),
)
def test_the_groups_are_what_counting_one_by_one_gives(
    rows: list[Connection], by: list[str]
) -> None:
    keys = parse_grouping(by).keys
    members: dict[tuple[Any, ...], list[Connection]] = {}
    for row in rows:
        for key in memberships(row, keys):
            members.setdefault(key, []).append(row)
    groups = grouped(rows, ",".join(by))
    assert set(shown(groups, *keys)) == set(members)
    for group in groups:
        mine = members[tuple(getattr(group, key) for key in keys)]
        others = [c for c in mine if c.state != "LISTEN"]
        listeners = [c for c in mine if c.state == "LISTEN"]
        states: Counter[State] = Counter(c.state for c in mine)
        assert group == Group(
            **{key: getattr(group, key) for key in keys},
            count=len(mine),
            states=dict(states),
            recv_q=known_sum(c.recv_q for c in others),
            send_q=known_sum(c.send_q for c in others),
            listeners=len(listeners),
            waiting=known_sum(c.recv_q for c in listeners),
            backlog_limit=known_sum(c.send_q for c in listeners),
        )
    counts = [group.count for group in groups]
    assert counts == sorted(counts, reverse=True)


@given(st.lists(sockets(), max_size=12), st.integers(1, 5), st.sampled_from(["", "-"]))
def test_top_keeps_the_largest(rows: list[Connection], top: int, sign: str) -> None:
    for measure in MEASURES:
        everything = grouped(rows, "process,state", sort=[sign + measure])
        kept = grouped(rows, "process,state", sort=[sign + measure], top=top)
        assert kept == [group for group in everything if group in kept]
        largest_first = grouped(rows, "process,state", sort=[f"-{measure}"])
        sizes = sorted(map(str, shown(largest_first[:top], measure)))
        assert sorted(map(str, shown(kept, measure))) == sizes
