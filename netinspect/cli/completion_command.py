"""`netinspect completion`: what a shell needs to complete our options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.output import write
from netinspect.cli.sections import SectionCommand

SHELLS = ("bash", "zsh", "fish")
# In click's script for fish a value ends at its first comma: `listen,close-wait` would be `listen`.
SPLIT_AT_COMMAS = ('string split ","', 'string split -m 1 ","')


@click.command("completion", cls=SectionCommand)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print the completion script of a shell.

    Write it where the shell looks for it:

    \b
      bash:  ~/.local/share/bash-completion/completions/netinspect
      zsh:   _netinspect in a folder of your fpath
      fish:  ~/.config/fish/completions/netinspect.fish
    """
    from netinspect.cli.app import COMPLETION_VARIABLE, PROGRAM, program

    completion_class = get_completion_class(shell)
    if completion_class is None:  # click has had all three since 8.0
        raise LookupError(shell)
    script = completion_class(program, {}, PROGRAM, COMPLETION_VARIABLE).source()
    write([script.replace(*SPLIT_AT_COMMAS).encode()])
    return ExitStatus.DONE
