"""Flags of netstat, ss and lsof that people type here out of habit.

An error names the readings, and the netinspect command for each. Nothing is loaded for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from netinspect.errors import UsageError

# Letters of ss and GNU netstat that select a protocol
PROTOCOL_OF = {"t": "tcp", "u": "udp", "w": "raw", "x": "unix"}
DEFAULT_PROTOCOLS = ["tcp", "udp"]
# Letters of ours that mean the same in ss and netstat
SHARED = "l46"
# What -p of a BSD takes, and what we call it
BSD_PROTOCOLS = {"ip": "raw", **{p: p for p in ("tcp", "udp", "icmp", "unix", "tcp4", "udp4")}}
PROGRAMS = ("netstat", "ss", "lsof", "sockstat")
# An argument of lsof -i: [46][protocol][@host][:port]
INTERNET = r"(?i)([46]?)(tcp|udp|udplite)?(?:@(\[[^]]*\]|[^:]*))?(?::([^:]+))?"
TIMERS = "netinspect --columns proto,state,local,remote,timer"


class Cluster(NamedTuple):
    """A word of letters, as `-tulpn`, the value behind the last of them, and the next word.

    `value` is None where none of ours takes one.
    """

    arg: str
    letters: str
    value: str | None
    following: str | None


def check_foreign_flags(args: Sequence[str], takes_value: Collection[str]) -> None:
    """Explain a flag that means something else elsewhere, before the parser calls it unknown.

    :param takes_value: our options whose value follows, in the same word or the next: `-s`,
        `--state`; a value is not a flag.
    :raises UsageError: there is one.
    """
    _check_program(args)
    is_value = False
    for index, arg in enumerate(args):
        if arg == "--":
            return
        if is_value or not arg.startswith("-"):
            is_value = False
        elif arg.startswith("--"):
            is_value = arg in takes_value
        else:
            letters, value = _split_cluster(arg, takes_value)
            following = args[index + 1] if index + 1 < len(args) else None
            _check(Cluster(arg, letters, value, following))
            is_value = value == ""


def _check_program(args: Sequence[str]) -> None:
    """`netinspect netstat -tulpn`: the name of the other program stands first."""
    if args[:1] and args[0] in PROGRAMS:
        import shlex

        command = shlex.join(args)
        raise UsageError(
            f"{args[0]} is another program: netinspect translate -- {command} says what to type "
            f"here, netinspect explain -- {command} what it means"
        )


def _split_cluster(arg: str, takes_value: Collection[str]) -> tuple[str, str | None]:
    """The letters of `-lns`, and the value of the last of them; None when it takes none.

    >>> _split_cluster("-lscsv", {"-s"})
    ('ls', 'csv')
    """
    for index, letter in enumerate(arg[1:], start=1):
        if f"-{letter}" in takes_value:
            return arg[1 : index + 1], arg[index + 1 :]
    return arg[1:], None


def _check(cluster: Cluster) -> None:
    letters = cluster.letters
    if "p" in letters:
        raise UsageError(f"{cluster.arg}: there is no -p here. {_readings_of_p(cluster)}")
    if "i" in letters:
        raise UsageError(f"{cluster.arg}: there is no -i here. {_readings_of_i(cluster)}")
    is_bare = cluster.value == "" and (cluster.following or "-").startswith("-")
    if letters.endswith("o") and len(letters) > 1 and is_bare:
        raise UsageError(
            f"{cluster.arg}: -o takes a format here. To netstat of Windows it shows the process, "
            f"as netinspect always does: {_gnu(letters[:-1])}. To GNU netstat and ss it shows "
            f"timers: {TIMERS}"
        )
    if any(letter in PROTOCOL_OF for letter in letters):
        raise UsageError(
            f"{cluster.arg}: protocols have no letters here; try {_gnu(letters)}{_of_u(letters)}"
        )


def _gnu(letters: str) -> str:
    """The command for what letters mean to GNU netstat and ss.

    As to netstat, -a wins over -l in any order; to ss the last of them does.
    """
    shown = SHARED.replace("l", "") if "a" in letters else SHARED
    protocols = [PROTOCOL_OF[letter] for letter in letters if letter in PROTOCOL_OF]
    shared = "".join(dict.fromkeys(letter for letter in letters if letter in shown))
    words = ["netinspect", *([f"-{shared}"] if shared else [])]
    if protocols and sorted(set(protocols)) != DEFAULT_PROTOCOLS:
        words.append(f"--proto {','.join(dict.fromkeys(protocols))}")
    return " ".join(words)


def _of_u(letters: str) -> str:
    if "u" not in letters:
        return ""
    return "; to macOS and the BSDs -u is unix-domain sockets: netinspect --proto unix"


def _readings_of_p(cluster: Cluster) -> str:
    """What -p is to others: with what stands behind it, one reading is likelier."""
    before, _, attached = cluster.letters.partition("p")
    argument = attached + (cluster.value or "") or cluster.following or ""
    if argument.isdigit():
        return (
            f"To lsof it takes a process: netinspect --pid {argument}. To sockstat it takes a "
            f"port: netinspect --port {argument}"
        )
    protocol = BSD_PROTOCOLS.get(argument.lower())
    gnu = _gnu(before if protocol else cluster.letters)
    program = f"To GNU netstat and ss it shows the program, as netinspect always does: {gnu}"
    bsd = "To netstat of macOS, the BSDs and Windows it takes a protocol"
    if protocol:
        return f"{bsd}: netinspect --proto {protocol}. {program}"
    is_none = f" ({attached!r} is none)" if attached else ""
    return f"{program}. {bsd}{is_none}: netinspect --proto tcp"


def _readings_of_i(cluster: Cluster) -> str:
    """What -i is to others."""
    attached = cluster.letters.partition("i")[2] + (cluster.value or "")
    following = cluster.following or ""
    argument = attached or ("" if following.startswith("-") else following)
    return (
        f"To lsof it selects Internet sockets: {_lsof(argument)}. To ss it shows what TCP knows of "
        "a connection: netinspect -e. To netstat it shows interfaces, which netinspect does not: "
        "ip -s link"
    )


def _lsof(argument: str) -> str:
    """The command for an argument of lsof -i."""
    import shlex

    match = re.fullmatch(INTERNET, argument)
    version, protocol, host, port = match.groups() if match else ("", None, None, None)
    words = ["netinspect", *([f"-{version}"] if version else [])]
    for name, value in (("--proto", protocol), ("--addr", host), ("--port", port)):
        if value:
            words += [name, value.strip("[]").lower()]
    return shlex.join(words)
