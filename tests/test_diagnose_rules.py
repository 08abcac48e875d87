"""Rules on scenes made of records: what is found, the near miss, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from netinspect.diagnose.destinations import Ports
from netinspect.diagnose.diagnosis import Outcome, apply
from netinspect.diagnose.rule import Fault, parse_settings
from netinspect.diagnose.rules import RULES
from netinspect.diagnose.scene import Moment, Scene
from netinspect.diagnose.time_wait import Picture, difference
from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.errors import UsageError
from netinspect.extended import TcpInfo
from netinspect.limits import FileUse, SystemLimits
from netinspect.model import Connection, Timer
from netinspect.settings import Settings
from tests.records import PLAIN

SETTINGS = Settings(ephemeral_range=(32768, 60999), tcp_max_tw_buckets=1000)
OLD = TcpInfo("cubic", last_ack_received_ms_ago=61_000, last_data_received_ms_ago=61_000)
YOUNG = TcpInfo("cubic", last_ack_received_ms_ago=900, last_data_received_ms_ago=900)


def many(count: int, **changes: Any) -> list[Connection]:
    """So many sockets that differ in cookie, inode and port."""
    return [
        replace(PLAIN, **{"cookie": n, "inode": 9000 + n, "local_port": 40000 + n, **changes})
        for n in range(1, count + 1)
    ]


def scene(
    last: Iterable[Connection] = (),
    first: Iterable[Connection] | None = None,
    *,
    seconds: float | None = 2.0,
    grown: Mapping[str, int] | None = None,
    **others: Any,
) -> Scene:
    """Two moments; without `first` nothing changed between them."""
    last = list(last)
    return Scene(
        first=Moment(last if first is None else first),
        last=Moment(last),
        settings=others.get("settings", SETTINGS),
        counters=others.get("counters", {}),
        grown=None if seconds is None else dict(grown or {}),
        limits=others.get("limits", SystemLimits()),
        crowd=(),
        ports=others.get("ports"),
        seconds=seconds,
    )


def outcome(code: str, seen: Scene, **changed: float) -> Outcome:
    return apply([RULES[code]], seen, {code: changed})


def faults(code: str, seen: Scene, **changed: float) -> list[Fault]:
    found = outcome(code, seen, **changed)
    assert found.not_checked == ()
    return [fault for _, fault in found.faults]


def reason(code: str, seen: Scene) -> str:
    (entry,) = outcome(code, seen).not_checked
    return entry.reason


class TestCloseWait:
    CODE = "close_wait_leak"

    def test_old_ones_are_a_leak(self) -> None:
        (fault,) = faults(self.CODE, scene(many(5, state="CLOSE_WAIT", tcp_info=OLD)))
        assert fault.severity == "warning"
        assert fault.confidence == "high"
        assert fault.title == (
            "nginx (pid 321) does not close 5 connections that the other side has ended"
        )
        assert fault.evidence == (
            "5 of them for more than 10 s",
            "5 with Recv-Q 0: the end was read, and close() was not called",
        )
        assert len(fault.sockets) == 5

    def test_young_or_few_are_none(self) -> None:
        assert faults(self.CODE, scene(many(50, state="CLOSE_WAIT", tcp_info=YOUNG))) == []
        assert faults(self.CODE, scene(many(4, state="CLOSE_WAIT", tcp_info=OLD))) == []

    def test_a_pool_may_hold_some_that_it_does_not_look_at(self) -> None:
        idle = many(19, state="CLOSE_WAIT", recv_q=1, tcp_info=OLD)
        assert faults(self.CODE, scene(idle)) == []
        (fault,) = faults(self.CODE, scene(many(20, state="CLOSE_WAIT", recv_q=1, tcp_info=OLD)))
        assert fault.evidence == (
            "20 of them for more than 60 s",
            "20 with Recv-Q 1: the end was not read, as in a pool of idle connections",
        )

    def test_more_and_more_are_a_leak_however_young(self) -> None:
        now = many(10, state="CLOSE_WAIT", recv_q=30, tcp_info=YOUNG)
        (fault,) = faults(self.CODE, scene(now, now[:5]))
        assert fault.evidence[0] == "5 more in 2 s, and 0 less"
        assert fault.confidence == "medium"
        turnover = [replace(c, cookie=c.cookie + 100) for c in now if c.cookie is not None]
        assert faults(self.CODE, scene(now, turnover)) == []

    def test_a_burst_is_none(self) -> None:
        """Such as requests whose clients have half closed, until they are answered."""
        now = many(50, state="CLOSE_WAIT", tcp_info=YOUNG)
        assert faults(self.CODE, scene(now, now[:4])) == []
        assert (
            faults("fin_wait2_leak", scene([replace(c, state="FIN_WAIT2") for c in now], [])) == []
        )

    def test_where_processes_are_hidden_one_end_makes_a_group(self) -> None:
        hidden = {"state": "CLOSE_WAIT", "tcp_info": OLD, "pid": None, "owners": ()}
        clients = many(5, owner_status="hidden", **hidden)
        (fault,) = faults(self.CODE, scene(clients))
        assert len(fault.sockets) == 5
        servers = [replace(c, local_port=80, remote_port=c.local_port) for c in clients]
        (fault,) = faults(self.CODE, scene(servers))
        assert fault.title.startswith("the owner of 10.0.0.1:80 does not close 5 connections")
        assert faults(self.CODE, scene([*clients[:4], *servers[4:]])) == []

    def test_psutil_tells_no_inodes(self) -> None:
        hidden = {"state": "CLOSE_WAIT", "inode": None, "pid": None, "owners": ()}
        assert len(faults(self.CODE, scene(many(100, owner_status="hidden", **hidden)))) == 1

    def test_ages_that_are_not_told(self) -> None:
        assert faults(self.CODE, scene(many(4, state="CLOSE_WAIT"))) == []
        assert reason(self.CODE, scene(many(99, state="CLOSE_WAIT"))) == (
            "it is not told how long 99 connections waited"
        )
        (fault,) = faults(self.CODE, scene(many(100, state="CLOSE_WAIT")))
        assert fault.confidence == "medium"
        assert fault.evidence[0] == "100 of them stayed for 2 s"
        (fault,) = faults(self.CODE, scene(many(100, state="CLOSE_WAIT"), seconds=None))
        assert fault.evidence[0] == "there are 100"

    def test_half_of_the_descriptors_are_critical(self) -> None:
        sockets = many(6, state="CLOSE_WAIT", tcp_info=OLD)
        for limit, severity in ((12, "critical"), (13, "warning")):
            limits = SystemLimits(file_uses=(FileUse(321, "nginx", 11, limit),))
            (fault,) = faults(self.CODE, scene(sockets, limits=limits))
            assert fault.severity == severity
            assert f"the process has 11 of at most {limit} descriptors open" in fault.evidence

    def test_each_process_is_a_fault_of_its_own(self) -> None:
        theirs = many(5, state="CLOSE_WAIT", tcp_info=OLD, pid=9, process="curl")
        theirs = [replace(c, cookie=(c.cookie or 0) + 50) for c in theirs]
        ours = many(5, state="CLOSE_WAIT", tcp_info=OLD)
        assert len(faults(self.CODE, scene([*ours, *theirs]))) == 2

    def test_never_accepted_ones_are_not_the_programs(self) -> None:
        assert (
            faults(
                self.CODE, scene(many(9, state="CLOSE_WAIT", tcp_info=OLD, inode=None, owners=()))
            )
            == []
        )


def test_fin_wait2() -> None:
    held = many(10, state="FIN_WAIT2", tcp_info=OLD)
    (fault,) = faults("fin_wait2_leak", scene(held))
    assert fault.title == "nginx (pid 321) keeps 10 connections half closed"
    assert faults("fin_wait2_leak", scene(many(9, state="FIN_WAIT2", tcp_info=OLD))) == []
    assert reason("fin_wait2_leak", scene(many(10, state="FIN_WAIT2"))) == (
        "it is not told how long 10 connections waited"
    )
    timed = many(10, state="FIN_WAIT2", tcp_info=OLD, timer=Timer("keepalive", 500, 0))
    assert faults("fin_wait2_leak", scene(timed)) == []
    assert faults("fin_wait2_leak", scene(many(10, state="FIN_WAIT2", inode=None, owners=()))) == []


def test_orphans() -> None:
    timer = Timer("zero_window", 300, 0)
    stuck = many(10, state="FIN_WAIT1", inode=None, pid=None, owners=(), timer=timer)
    (fault,) = faults("orphans", scene(stuck))
    assert fault.evidence == (
        "120 bytes wait for peers that do not take them",
        "10 of them to 10.0.0.2",
    )
    assert faults("orphans", scene(stuck[1:])) == []
    assert faults("orphans", scene(stuck, [])) == []
    assert len(faults("orphans", scene(stuck, seconds=None))) == 1
    lost = [replace(c, timer=Timer("retransmit", 300, 1)) for c in stuck]
    assert len(faults("orphans", scene(lost))) == 1
    sent = [replace(c, timer=Timer("retransmit", 300, 0)) for c in stuck]
    assert faults("orphans", scene(sent)) == []
    assert faults("orphans", scene(stuck, [replace(c, send_q=13) for c in stuck])) == []
    assert (
        faults("orphans", scene(many(10, state="FIN_WAIT1", inode=None, owners=(), send_q=0))) == []
    )


@pytest.mark.parametrize(("count", "severity"), [(24, None), (25, "warning"), (50, "critical")])
def test_orphans_of_the_whole_machine(count: int, severity: str | None) -> None:
    seen = scene(counters={"TCP.orphan": count}, limits=SystemLimits(max_orphans=100))
    found = faults("orphans", seen)
    assert [fault.severity for fault in found] == ([severity] if severity else [])


def test_syn_sent() -> None:
    tried = many(5, state="SYN_SENT", timer=Timer("retransmit", 900, 2))
    (fault,) = faults("syn_sent_pile", scene(tried))
    assert fault.title == "10.0.0.2:443 does not answer 5 connections that this host opens"
    assert fault.evidence == ("their SYN was sent again up to 2 times",)
    assert faults("syn_sent_pile", scene(tried[1:])) == []
    young = many(5, state="SYN_SENT", timer=Timer("retransmit", 900, 1))
    assert faults("syn_sent_pile", scene(young)) == []
    scattered = [replace(c, remote_address=f"10.0.1.{n}") for n, c in enumerate(tried)]
    assert faults("syn_sent_pile", scene(scattered)) == []


class TestSynFlood:
    CODE = "syn_flood"
    LISTENER = replace(PLAIN, state="LISTEN", local_port=80, recv_q=0, send_q=128, cookie=1)

    def half_open(self, count: int) -> list[Connection]:
        return many(count, state="SYN_RECV", local_port=80, inode=None, pid=None, owners=())

    def test_as_many_as_have_room(self) -> None:
        (fault,) = faults(self.CODE, scene([self.LISTENER, *self.half_open(128)]))
        assert fault.confidence == "medium"
        assert fault.evidence == (
            "the listener has room for 128 of them",
            "they say to come from 1 address",
        )
        assert faults(self.CODE, scene([self.LISTENER, *self.half_open(127)])) == []

    def test_cookies(self) -> None:
        grown = {"TcpExt.SyncookiesSent": 7}
        (fault,) = faults(self.CODE, scene([self.LISTENER, *self.half_open(64)], grown=grown))
        assert fault.confidence == "high"
        assert "7 more were answered with a cookie or dropped in 2 s" in fault.evidence
        assert faults(self.CODE, scene([self.LISTENER, *self.half_open(63)], grown=grown)) == []


class TestQueues:
    CODE = "accept_queue_overflow"

    def listener(self, waiting: int | None, backlog: int | None, **changes: Any) -> Connection:
        known = {"state": "LISTEN", "recv_q": waiting, "send_q": backlog, "remote_address": None}
        return replace(PLAIN, **{**known, **changes})

    def test_one_more_than_the_backlog_is_full(self) -> None:
        seen = scene([self.listener(5, 4)], grown={"TcpExt.ListenOverflows": 9})
        (fault,) = faults(self.CODE, seen)
        assert fault.severity == "critical"
        assert fault.title == (
            "the accept queue of 10.0.0.1:44321 is full: nginx (pid 321) does not accept"
        )
        assert fault.evidence == (
            "5 connections wait, the backlog is 4",
            "9 handshakes were dropped in 2 s (ListenOverflows)",
        )

    def test_nearly_full_for_some_time(self) -> None:
        seen = [self.listener(7, 9)]
        (fault,) = faults(self.CODE, scene(seen))
        assert (fault.severity, fault.title) == (
            "warning",
            "the accept queue of 10.0.0.1:44321 is 70 % full",
        )
        assert faults(self.CODE, scene(seen, [self.listener(6, 9)])) == []
        assert faults(self.CODE, scene(seen), percent=71) == []
        assert len(faults(self.CODE, scene([self.listener(9, 9)]))) == 1

    def test_one_that_waits_is_no_queue(self) -> None:
        assert faults(self.CODE, scene([self.listener(1, 1)])) == []
        (fault,) = faults(self.CODE, scene([self.listener(1, 0)]))
        assert fault.evidence == ("1 connection waits, the backlog is 0",)

    def test_full_for_a_moment(self) -> None:
        """Nothing was refused: a burst was taken."""
        full, empty = [self.listener(5, 4)], [self.listener(0, 4)]
        assert faults(self.CODE, scene(full, empty)) == []
        refused = scene(full, empty, grown={"TcpExt.ListenOverflows": 1})
        assert len(faults(self.CODE, refused)) == 1
        assert len(faults(self.CODE, scene(full, seconds=None))) == 1

    def test_a_backlog_that_is_not_told(self) -> None:
        message = "the source does not tell the backlog of listeners"
        assert reason(self.CODE, scene([self.listener(5, None)])) == message
        assert faults(self.CODE, scene()) == []

    def test_unix(self) -> None:
        found = self.listener(5, 4, protocol="unix", local_address="/run/x", local_port=None)
        (fault,) = faults("unix_backlog", scene([found]))
        assert fault.title == (
            "the accept queue of /run/x is full: nginx (pid 321) does not accept"
        )
        assert faults(self.CODE, scene([found])) == []

    def test_never_accepted(self) -> None:
        listener = self.listener(1, 128, local_port=80, cookie=500)
        waiting = replace(PLAIN, local_port=80, inode=None, owners=(), pid=None, tcp_info=OLD)
        (fault,) = faults("never_accepted", scene([listener, waiting]))
        assert fault.title == ("nginx (pid 321) does not accept 1 connection on 10.0.0.1:80")
        assert fault.sockets == (listener, waiting)
        young = replace(waiting, tcp_info=YOUNG)
        assert faults("never_accepted", scene([listener, young])) == []
        assert faults("never_accepted", scene([listener, waiting], [listener])) == []
        another = replace(listener, local_address="10.0.0.3", cookie=501)
        assert len(faults("never_accepted", scene([listener, waiting, another]))) == 1
        busy = replace(listener, recv_q=0, cookie=502)  # of one port by SO_REUSEPORT
        assert len(faults("never_accepted", scene([listener, waiting, busy]))) == 1
        assert reason("never_accepted", scene([listener, replace(waiting, tcp_info=UNSET)])) == (
            "it is not known how long they wait"
        )
        elsewhere = replace(waiting, local_port=81)
        assert faults("never_accepted", scene([listener, elsewhere])) == []
        full = replace(listener, recv_q=200)
        assert faults("never_accepted", scene([full, waiting])) == []
        assert reason("never_accepted", scene([listener], seconds=None)) == (
            "needs two moments, and there is one"
        )


class TestFlow:
    SENDER = replace(PLAIN, send_q=5000, timer=Timer("zero_window", 300, 0))
    READER = replace(
        PLAIN,
        local_address="10.0.0.2",
        local_port=443,
        remote_address="10.0.0.1",
        remote_port=44321,
        recv_q=90_000,
        send_q=0,
        cookie=78,
        pid=8,
        process="reader",
    )

    def test_zero_window(self) -> None:
        (fault,) = faults("zero_window", scene([self.SENDER]))
        assert fault.title == (
            "nginx (pid 321) cannot send to 10.0.0.2:443: 10.0.0.2:443 does not read"
        )
        (fault,) = faults("zero_window", scene([self.SENDER, self.READER]))
        assert fault.title.endswith(": reader (pid 8) does not read")
        assert fault.sockets == (self.SENDER, self.READER)
        assert fault.evidence == (
            "5000 bytes wait in Send-Q, and the window is closed (persist timer)",
            "the other end is on this host: 90000 bytes are unread in its Recv-Q",
        )
        busy = replace(self.SENDER, tcp_info=TcpInfo("cubic", last_data_sent_ms_ago=4000))
        assert faults("zero_window", scene([busy])) == []
        moment = replace(self.SENDER, timer=Timer("retransmit", 1, 0))
        assert faults("zero_window", scene([self.SENDER], [moment])) == []

    def test_one_fault_is_said_once(self) -> None:
        assert faults("receive_queue_not_read", scene([self.SENDER, self.READER])) == []
        # another client of the same server is another fault
        other = replace(self.READER, remote_port=44322, cookie=79, tcp_info=OLD)
        (fault,) = faults("receive_queue_not_read", scene([self.SENDER, self.READER, other]))
        assert fault.sockets == (other,)
        orphan = replace(self.SENDER, inode=None, owners=(), pid=None, state="FIN_WAIT1")
        assert faults("zero_window", scene([orphan])) == []

    def test_an_ipv6_server_reads_from_an_ipv4_client(self) -> None:
        addresses = {"local_address": "::ffff:10.0.0.2", "remote_address": "::ffff:10.0.0.1"}
        reader = replace(self.READER, family="ipv6", **addresses)
        (fault,) = faults("zero_window", scene([self.SENDER, reader]))
        assert fault.sockets == (self.SENDER, reader)
        assert faults("receive_queue_not_read", scene([self.SENDER, reader])) == []

    def test_a_window_that_opens_now_and_then(self) -> None:
        before = replace(self.SENDER, send_q=5001)
        assert faults("zero_window", scene([self.SENDER], [before])) == []

    def test_unread(self) -> None:
        seen = replace(PLAIN, recv_q=4096, tcp_info=OLD)
        (fault,) = faults("receive_queue_not_read", scene([seen]))
        assert fault.evidence == (
            "4096 bytes in Recv-Q, the same as 2 s ago",
            "the last came 61.0 s ago",
        )
        for other in (
            replace(seen, recv_q=4095),
            replace(seen, tcp_info=YOUNG),
            replace(seen, inode=None, owners=()),
        ):
            assert faults("receive_queue_not_read", scene([other])) == []
        assert faults("receive_queue_not_read", scene([seen], [replace(seen, recv_q=9)])) == []
        assert reason("receive_queue_not_read", scene([seen], seconds=None))

    def test_retransmits(self) -> None:
        lossy = replace(PLAIN, timer=Timer("retransmit", 900, 2), tcp_info=TcpInfo(lost_segments=3))
        (fault,) = faults("retransmits", scene([lossy]))
        assert fault.title == "10.0.0.2 does not acknowledge what 1 connection sent"
        assert fault.evidence == (
            "sent again up to 2 times in a row",
            "3 segments are taken for lost",
        )
        for other in (
            replace(lossy, timer=Timer("retransmit", 900, 1)),
            replace(lossy, timer=Timer("keepalive", 900, 2)),
            replace(lossy, state="SYN_SENT"),
            replace(lossy, inode=None, owners=()),
        ):
            assert faults("retransmits", scene([other])) == []


class TestResources:
    @pytest.mark.parametrize(
        ("count", "severity"), [(74, None), (75, "warning"), (94, "warning"), (95, "critical")]
    )
    def test_conntrack(self, count: int, severity: str | None) -> None:
        seen = scene(limits=SystemLimits(conntrack_count=count, conntrack_max=100))
        found = faults("conntrack_full", seen)
        assert [fault.severity for fault in found] == ([severity] if severity else [])

    def test_no_conntrack(self) -> None:
        assert reason("conntrack_full", scene()) == (
            "no connection tracking here, or it may not be read"
        )

    @pytest.mark.parametrize(("count", "severity"), [(79, None), (80, "warning"), (95, "critical")])
    def test_descriptors(self, count: int, severity: str | None) -> None:
        limits = SystemLimits(file_uses=(FileUse(7, "nginx", count, 100),))
        found = faults("file_descriptor_limit", scene(limits=limits))
        assert [fault.severity for fault in found] == ([severity] if severity else [])
        assert reason("file_descriptor_limit", scene())

    def test_descriptors_that_are_hidden(self) -> None:
        full = (FileUse(7, "nginx", 90, 100),)
        found = outcome(
            "file_descriptor_limit",
            scene(limits=SystemLimits(file_uses=full, has_hidden_files=True)),
        )
        assert len(found.faults) == 1
        assert found.not_checked[0].reason == "not all processes may be looked into: run as root"

    def test_udp_drops(self) -> None:
        now = replace(PLAIN, protocol="udp", state="UNCONN", drops=9)
        (fault,) = faults("udp_drops", scene([now], [replace(now, drops=2)]))
        assert fault.evidence[0] == "7 in 2 s, 9 since the socket was opened"
        assert len(faults("udp_drops", scene([now], []))) == 1  # 0 is not telling
        assert faults("udp_drops", scene([now])) == []
        assert reason("udp_drops", scene(seconds=None))


class TestListeners:
    def test_exposed(self) -> None:
        listener = replace(PLAIN, state="LISTEN", local_port=22, exposure="any", dual_stack=True)
        (fault,) = faults("exposed_listener", scene([listener]))
        assert fault.severity == "info"
        assert fault.evidence == ("TCP ports 22", "1 of them on :: and so for IPv4 as well")
        for exposure in ("loopback", "link", "private"):
            seen = scene([replace(listener, exposure=exposure)])
            assert faults("exposed_listener", seen) == []

    def test_in_the_ephemeral_range(self) -> None:
        code = "listener_in_ephemeral_range"
        for port, count in ((32767, 0), (32768, 1), (60999, 1), (61000, 0)):
            assert (
                len(faults(code, scene([replace(PLAIN, state="LISTEN", local_port=port)]))) == count
            )
        reserved = Settings(ephemeral_range=(32768, 60999), reserved_ports=((40000, 40001),))
        listeners = [replace(PLAIN, state="LISTEN", local_port=port) for port in (40000, 40002)]
        (fault,) = faults(code, scene(listeners, settings=reserved))
        assert fault.sockets == (listeners[1],)
        assert reason(code, scene(settings=Settings())) == "the range of local ports is not known"


class TestPorts:
    def test_time_wait_overflow(self) -> None:
        picture = Picture((), 1000, Ports(100, 0), None, None)
        before, after = {"TcpExt.TCPTimeWaitOverflow": 3}, {"TcpExt.TCPTimeWaitOverflow": 8}
        evidence = Evidence(picture, SETTINGS, after, difference(before, after, 2.0))
        (fault,) = faults("time_wait_overflow", scene(ports=evidence))
        assert fault.severity == "warning"
        calm = Evidence(picture._replace(time_wait=10), SETTINGS, after)
        assert faults("time_wait_overflow", scene(ports=calm)) == []

    def test_what_is_not_known(self) -> None:
        for code in ("port_exhaustion", "time_wait_overflow"):
            assert reason(code, scene()) == "a capture does not tell the settings of its kernel"
            picture = Picture((), 0, Ports(None, 0), None, None)
            unset = scene(ports=Evidence(picture, Settings(), {}), settings=Settings())
            assert reason(code, unset) == "the range of local ports is not known"


class TestThresholds:
    def test_words(self) -> None:
        words = ["close_wait_leak.sockets=50", "close-wait-leak.many=7", "udp_drops.datagrams=2.5"]
        assert parse_settings(words, RULES) == {
            "close_wait_leak": {"sockets": 50, "many": 7},
            "udp_drops": {"datagrams": 2.5},
        }

    @pytest.mark.parametrize(
        ("word", "says"),
        [
            ("x", "--set 'x': expected RULE.THRESHOLD=VALUE"),
            ("udp_drops=3", "--set 'udp_drops=3': expected RULE.THRESHOLD=VALUE"),
            ("udp_drop.datagrams=3", "unknown rule 'udp_drop'; did you mean udp_drops?"),
            ("udp_drops.x=3", "unknown threshold of udp_drops 'x'; expected one of datagrams"),
            ("exposed_listener.x=3", "--set 'exposed_listener.x=3': exposed_listener has no"),
            (
                "udp_drops.datagrams=x",
                "--set 'udp_drops.datagrams=x': expected a number, found 'x'",
            ),
            ("udp_drops.datagrams=-1", "--set 'udp_drops.datagrams=-1': expected a number"),
            ("udp_drops.datagrams=nan", "--set 'udp_drops.datagrams=nan': expected a number"),
            ("udp_drops.datagrams=", "--set 'udp_drops.datagrams=': expected a number, found ''"),
        ],
    )
    def test_errors(self, word: str, says: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_settings([word], RULES)
        assert str(caught.value).startswith(says)

    def test_the_worst_comes_first(self) -> None:
        full = replace(PLAIN, state="LISTEN", recv_q=5, send_q=4, exposure="any")
        leak = many(5, state="CLOSE_WAIT", tcp_info=OLD)
        found = apply(RULES.values(), scene([full, *leak]), {})
        assert [fault.severity for _, fault in found.faults] == [
            "critical",
            "warning",
            "info",
            "info",
        ]
        told = {*found.checked, *(entry.code for entry in found.not_checked)}
        assert told == RULES.keys()

    def test_one_moment(self) -> None:
        """All that can be told of it is."""
        found = apply(RULES.values(), scene(seconds=None), {})
        assert {e.code for e in found.not_checked if "two moments" in e.reason} == {
            *("never_accepted", "zero_window", "receive_queue_not_read", "retransmits"),
            "udp_drops",
        }


@pytest.mark.parametrize("code", ["orphans", "syn_flood", "never_accepted"])
def test_what_a_filter_by_process_leaves_out(code: str) -> None:
    seen = scene([PLAIN])._replace(is_by_process=True)
    assert reason(code, seen) == "a filter by process leaves out the sockets that none has"


def test_what_another_source_does_not_tell() -> None:
    seen = scene([PLAIN])._replace(sources=("macos",))
    for code in ("fin_wait2_leak", "syn_sent_pile", "zero_window", "retransmits"):
        assert reason(code, seen) == "macos tells no timers"
    seen = scene([replace(PLAIN, inode=None)])._replace(sources=("macos",))
    for code in ("orphans", "never_accepted"):
        assert reason(code, seen) == "macos tells no inodes"
    assert reason("udp_drops", seen) == "macos tells no drops"
    assert reason("unix_backlog", seen._replace(sources=("ss",))) == "ss tells no unix queues"
    told = scene([replace(PLAIN, timer=Timer("keepalive", 1, 0))])._replace(sources=("ss",))
    assert faults("fin_wait2_leak", told) == []


def test_what_the_options_leave_out_is_not_checked() -> None:
    seen = scene()._replace(protocols=frozenset(("tcp",)))
    assert reason("unix_backlog", seen) == "the options leave unix sockets out"
    assert reason("udp_drops", seen) == "the options leave udp sockets out"
    assert faults("accept_queue_overflow", seen) == []
    limits = SystemLimits(conntrack_count=1, conntrack_max=100)
    assert faults("conntrack_full", seen._replace(limits=limits)) == []
