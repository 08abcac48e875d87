"""Options under headings in `--help`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class SectionOption(click.Option):
    """An option that stands under a heading of its own in `--help`."""

    def __init__(self, *args: Any, section: str = "Options", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class SectionCommand(click.Command):
    """A command whose `--help` has headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        write_sections(ctx, self.get_params(ctx), formatter)


def write_sections(
    ctx: click.Context, params: Sequence[click.Parameter], formatter: click.HelpFormatter
) -> None:
    """Each heading with its options, in the order of their first option."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        # arguments have a record in some versions of click; ours stand in the usage line
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record:
            sections.setdefault(getattr(param, "section", "Options"), []).append(record)
    for title, records in sections.items():
        with formatter.section(title):
            formatter.write_dl(records)
