"""What the extended table says of the processes that hold a socket."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from netinspect.model import Owner
from netinspect.render.escape import escape_cell


def owner_facts(owner: Owner) -> list[str]:
    """One piece of text for each thing that is known, fit for a terminal.

    `java(pid=77,fd=5)`, `command java -jar /srv/shop.jar`, `unit shop.service` and so on.
    """
    return [escape_cell(fact) for fact in _facts(owner)]


def _facts(owner: Owner) -> Iterator[str]:
    fd = "" if owner.fd is None else f",fd={owner.fd}"
    yield f"{owner.process or '-'}(pid={owner.pid}{fd})"
    if owner.command_line:
        yield f"command {_command_text(owner.command_line)}"
    if owner.executable:
        yield f"exe {owner.executable}{' (deleted)' if owner.executable_deleted else ''}"
    if owner.user:
        yield f"user {owner.user}"
    if owner.unit:
        yield f"unit {owner.unit}"
    if owner.container:
        yield f"container {owner.container}{f' ({owner.runtime})' if owner.runtime else ''}"
    if owner.started_at:
        yield f"started {owner.started_at}"
    if owner.parents:
        chain = " < ".join(f"{parent.process or '-'}({parent.pid})" for parent in owner.parents)
        yield f"parents {chain}"


def _command_text(command_line: tuple[str, ...]) -> str:
    """As a shell would take it; a title as it is: nginx: worker process."""
    return command_line[0] if len(command_line) == 1 else shlex.join(command_line)
