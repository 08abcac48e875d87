"""A length of time as the value of an option."""

from __future__ import annotations

import re

import click

NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?|\.\d{1,6}")
LEAST, MOST = 0.1, 86400.0


def parse_seconds(
    context: click.Context, param: click.Parameter, value: str | None
) -> float | None:
    """A callback of an option: seconds, from a tenth to a day; None where it is not given."""
    if value is None:
        return None
    if NUMBER.fullmatch(value) and LEAST <= float(value) <= MOST:
        return float(value)
    message = f"expected seconds such as 1 or 0.5, from {LEAST:g} to {MOST:g}, found {value!r}"
    raise click.BadParameter(message, ctx=context, param=param)
