"""Flags of netstat, ss and lsof that people type here out of habit."""

from __future__ import annotations

from collections.abc import Collection

from netinspect.errors import UsageError

TEACH_P = (
    "there is no -p here: with GNU netstat and ss it means 'show the program', with BSD and macOS "
    "netstat 'select the protocol'. Owners are always shown; select with --pid PID or --proto tcp"
)
# Letters of ss and GNU netstat that select a protocol
PROTOCOL_OF = {"t": "tcp", "u": "udp", "w": "raw", "x": "unix"}
# Letters of ours that mean the same in ss and netstat
SHARED = "l46"
# Commands whose words are flags of other programs
ABOUT_FLAGS = ("flags", "explain", "translate")


def check_foreign_flags(args: list[str], takes_value: Collection[str]) -> None:
    """Explain a flag that means something else elsewhere, before the parser calls it unknown.

    :param takes_value: our options whose value follows, in the same word or the next: `-s`,
        `--state`; a value is not a flag.
    :raises UsageError: there is one.
    """
    if args[:1] and args[0] in ABOUT_FLAGS:
        return
    is_value = False
    for arg in args:
        if arg == "--":
            return
        if is_value or not arg.startswith("-"):
            is_value = False
        elif arg.startswith("--"):
            is_value = arg in takes_value
        else:
            flags, value = _split_cluster(arg, takes_value)
            _check(arg, flags)
            is_value = value == ""


def _split_cluster(arg: str, takes_value: Collection[str]) -> tuple[str, str | None]:
    """The letters of `-lns`, and the value of the last of them; None when it takes none.

    >>> _split_cluster("-lscsv", {"-s"})
    ('ls', 'csv')
    """
    for index, letter in enumerate(arg[1:], start=1):
        if f"-{letter}" in takes_value:
            return arg[1 : index + 1], arg[index + 1 :]
    return arg[1:], None


def _check(arg: str, flags: str) -> None:
    if "p" in flags:
        raise UsageError(f"{arg}: {TEACH_P}")
    protocols = [PROTOCOL_OF[letter] for letter in flags if letter in PROTOCOL_OF]
    if protocols:
        shared = "".join(letter for letter in flags if letter in SHARED)
        options = f"-{shared} " if shared else ""
        raise UsageError(
            f"{arg}: protocols have no letters here; try netinspect {options}--proto "
            f"{','.join(protocols)}"
        )
