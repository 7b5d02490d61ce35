"""`syncer completion`: what makes a shell complete our commands and options."""

import sys

import click

from syncer.cli.output import print_line


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    Examples:
      eval "$(syncer completion bash)"                 in ~/.bashrc
      eval "$(syncer completion zsh)"                  in ~/.zshrc
      syncer completion fish > ~/.config/fish/completions/syncer.fish
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101 - click has these three
    script = completion(ctx.find_root().command, {}, "syncer", "_SYNCER_COMPLETE").source()
    print_line(script.rstrip(), out=sys.stdout)
