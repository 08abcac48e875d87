"""What a command line asks: which sockets, in which states, and what of them.

The flags say it by their `effect` in the table: `protocol=tcp`, `family=*` where the argument says
which, `states=listening`, `show=routing`, or the id of a question of intents.json, as `numeric`.
Two command lines that ask the same give equal questions, whatever system they are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from netinspect.teach import ss_operands
from netinspect.teach.command_line import CommandLine, Option
from netinspect.teach.knowledge import flags_of

FAMILIES = {"inet": "ipv4", "ip": "ipv4", "inet6": "ipv6", "ip6": "ipv6"}
# Families that are asked for like a protocol
AS_PROTOCOLS = {"unix": "unix", "local": "unix", "link": "packet"}
# Who is asked first when a command names several
PRECEDENCE = ("help", "version", "statistics", "mbufs", "interfaces", "routing")
# An argument of lsof -i: [46][protocol][@host][:port]
INTERNET = r"(?i)([46]?)(tcp|udp|udplite)?(?:@(\[[^]]*\]|[^:]*))?(?::(.+))?"
ALWAYS = {
    "lsof": ("process",),
    "freebsd_sockstat": ("numeric", "process"),
    "netbsd_sockstat": ("process",),
}
LISTEN = "LISTEN"


class Question(NamedTuple):
    """What is asked. What is not said is empty: the tool decides.

    :param shows: sockets, or what else is shown: routing, interfaces, statistics, ...
    :param states: "all", "listening", or states as the record spells them.
    :param asks: what of the sockets, and how: ids of intents.json.
    :param repeat: seconds; "" where the command leaves them open.
    """

    shows: str = "sockets"
    protocols: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    port: str | None = None
    address: str | None = None
    pid: str | None = None
    user: str | None = None
    command: str | None = None
    netns: str | None = None
    repeat: str | None = None
    expression: str | None = None


class _Gathered:
    """What the options say, one after the other."""

    def __init__(self) -> None:
        self.shows: list[str] = []
        self.lists: dict[str, list[str]] = {"protocol": [], "family": [], "states": []}
        self.asks: set[str] = set()
        self.values: dict[str, str] = {}

    def take(self, effect: str, argument: str | None) -> None:
        """One effect of a flag."""
        name, is_valued, value = effect.partition("=")
        value = (argument or "") if value == "*" else value
        if not is_valued:
            self.asks.add(name)
        elif name == "show":
            self.shows.append(value)
        elif name == "inet":
            self.take_internet(value)
        elif name == "states" and argument:
            self.lists["states"] += _lsof_states(argument)
        elif name in self.lists:
            self.lists[name] += value.lower().split(",")
        elif name == "json":
            self.asks.add("json")
        else:
            self.values[name] = value

    def take_internet(self, text: str) -> None:
        """The argument of lsof -i."""
        match = re.fullmatch(INTERNET, text)
        self.asks.add("internet")
        if not match:
            return
        version, protocol, host, port = match.groups()
        self.lists["family"] += {"4": ["inet"], "6": ["inet6"]}.get(version, [])
        self.lists["protocol"] += [protocol.lower()] if protocol else []
        if host:
            self.values["address"] = host
        if port:
            self.values["port"] = port


def _lsof_states(argument: str) -> list[str]:
    _, _, states = argument.rpartition(":")
    return states.upper().split(",")


def question_of(line: CommandLine) -> Question:
    """What a command line asks, as far as it is read before its first error."""
    known = flags_of(line.tool)
    gathered = _Gathered()
    for option in _that_count(line):
        flag = known.get(option.flag) or known.get(f"-{option.flag[1:]}")
        for effect in flag.effect if flag and option.flag[0] == flag.name[0] else ():
            gathered.take(effect, option.argument)
    _take_operands(line, gathered)
    question = _question(line, gathered)
    if line.tool.id == "linux_ss" and line.operands:
        found = ss_operands.read(line.operands)
        states = found.states or question.states
        question = question._replace(
            states=states, port=found.port, address=found.address, expression=found.expression
        )
    return question


def _that_count(line: CommandLine) -> Iterable[Option]:
    """The options without those that a later one undoes, and without one that is refused.

    Of ss the last of -a, -l and -B counts; elsewhere -a counts whatever else there is.
    """
    choices = ("-a", "-l", "-B") if line.tool.id == "linux_ss" else ()
    last = [option for option in line.options if option.flag in choices][-1:]
    refused = line.error.place if line.error else None
    return [
        option
        for option in line.options
        if (option.flag not in choices or option in last)
        and (refused is None or option.argument_place != refused)
    ]


def _take_operands(line: CommandLine, gathered: _Gathered) -> None:
    """A number is an interval to the BSDs and Windows."""
    numbers = [o.text for o in line.operands if o.text.isdigit()]
    if numbers and line.tool.id in ("freebsd_netstat", "openbsd_netstat", "netbsd_netstat"):
        gathered.shows.append("interfaces")
        gathered.values["repeat"] = numbers[0]
    if numbers and line.tool.id == "windows_netstat":
        gathered.values["repeat"] = numbers[0]


def _question(line: CommandLine, gathered: _Gathered) -> Question:
    families = dict.fromkeys(gathered.lists["family"])
    protocols = [AS_PROTOCOLS[name] for name in families if name in AS_PROTOCOLS]
    protocols += [name for name in gathered.lists["protocol"] if name not in protocols]
    protocols = ["raw" if name == "ip" else name for name in protocols]
    named = [FAMILIES.get(name, name) for name in families if name not in AS_PROTOCOLS]
    if line.tool.system == "windows":
        named += ["ipv6" if name.endswith("v6") else "ipv4" for name in protocols]
        protocols = [name.removesuffix("v6") for name in protocols]
    asks = {*gathered.asks, *ALWAYS.get(line.tool.id, ())}
    shows = next((name for name in PRECEDENCE if name in gathered.shows), None)
    shows = shows or (gathered.shows[0] if gathered.shows else _default_subject(line, gathered))
    return Question(
        shows=shows,
        protocols=tuple(sorted(set(protocols), key=protocols.index)),
        families=tuple(sorted(set(named))) if len(set(named)) == 1 else (),
        states=_states(line, gathered.lists["states"]) if shows in ("sockets", "files") else (),
        asks=_asks(asks),
        **{key: gathered.values.get(key) for key in VALUES},
    )


VALUES = ("port", "address", "pid", "user", "command", "netns", "repeat")


def _default_subject(line: CommandLine, gathered: _Gathered) -> str:
    """Only lsof lists files, unless nothing but sockets is asked for: its selections are ORed."""
    if line.tool.id != "lsof":
        return "sockets"
    of_processes = {"pid", "user", "command"} & gathered.values.keys()
    has_sockets = "internet" in gathered.asks or line.has("-U")
    is_narrowed = "and" in gathered.asks or not of_processes
    return "sockets" if has_sockets and is_narrowed else "files"


def _states(line: CommandLine, states: list[str]) -> tuple[str, ...]:
    if "all" in states:
        return ("all",)
    if line.tool.program in ("lsof", "sockstat") and not states:
        return ("all",)
    return tuple(dict.fromkeys("listening" if state == LISTEN else state for state in states))


def _asks(asks: set[str]) -> tuple[str, ...]:
    """Ids of intents.json: numeric hosts and numeric ports together are numeric."""
    if {"numeric_hosts", "numeric_ports"} <= asks:
        asks = asks | {"numeric"}
    return tuple(sorted(asks - {"numeric_hosts", "numeric_ports", "internet", "and"}))
