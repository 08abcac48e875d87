"""Events of experiments, and the list of experiments, as text or as NDJSON."""

from __future__ import annotations

import re
import textwrap

import msgspec

from netinspect.lab.catalog import EXPERIMENTS, MODES
from netinspect.lab.event import Event
from netinspect.render.columns import find_column
from netinspect.render.table import Layout, render_table

WIDTH = 80
COLUMNS = ("state", "local", "remote", "process", "recv_q", "send_q")


def render_event(event: Event, *, is_json: bool, terminal_width: int | None) -> bytes:
    """One event: a line of JSON, or text that fits the terminal."""
    if is_json:
        return msgspec.json.encode(event) + b"\n"
    if event.connections is not None:
        return _paragraph(event.text, terminal_width) + _table(event, terminal_width)
    if event.kind == "reading":
        return _reading(event, terminal_width)
    if event.kind == "command":  # to be copied: never wrapped
        return f"\n{event.text}\n".encode()
    before = b"\n" if event.kind == "explanation" else b""
    return before + _paragraph(event.text, terminal_width)


def _reading(event: Event, terminal_width: int | None) -> bytes:
    """A line of counts, one below the other; closer together where the terminal is too narrow."""
    when, counts = f"{event.elapsed_seconds:4.0f} s  ", event.text
    if terminal_width and len(when) + len(counts) > terminal_width:
        counts = re.sub(" {3,}", "  ", counts)
    return f"{when}{counts}\n".encode()


def _paragraph(text: str, terminal_width: int | None) -> bytes:
    return "\n".join([*_wrapped(text, terminal_width or WIDTH), ""]).encode()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, min(width, WIDTH), break_long_words=False, break_on_hyphens=False)


def _table(event: Event, terminal_width: int | None) -> bytes:
    remarks = [_indented(remark, terminal_width) for remark in event.remarks or ()]
    layout = Layout(
        [find_column(name) for name in COLUMNS],
        terminal_width,
        lines_below=(lambda _: remarks) if remarks else None,
    )
    return b"".join(render_table([list(event.connections or ())], layout))


def _indented(remark: str, terminal_width: int | None) -> str:
    indent = "\n    "
    lines = _wrapped(remark, (terminal_width or WIDTH) + 1 - len(indent))
    return "".join(indent + line for line in lines)


def render_catalog(*, is_json: bool) -> bytes:
    """Which experiments there are."""
    if is_json:
        rows = [{"experiment": name, "title": e.title} for name, e in EXPERIMENTS.items()]
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    lines = [f"  {name:<17}{experiment.title}" for name, experiment in EXPERIMENTS.items()]
    modes = [f"  {name:<17}{meaning}" for name, meaning in MODES.items()]
    return "\n".join(
        [
            "Experiments: netinspect lab EXPERIMENT",
            *lines,
            "",
            "Modes of time-wait: netinspect lab time-wait --mode MODE",
            *modes,
            "",
        ]
    ).encode()
