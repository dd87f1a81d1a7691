"""`miras sample`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from miras_compiler.cli.libraries import prepare_libraries
from miras_compiler.cli.options import Device, RunPath
from miras_compiler.console import busy


def sample(
    run: RunPath,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="The beginning of the text.", show_default=False)] = "",
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", help="At most so many tokens more.")] = 200,
    temperature: Annotated[float, typer.Option("--temperature", metavar="X", help="0 takes the likeliest token every time.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws the tokens.")] = 0,
    device: Device = None,
) -> None:
    """Print a text that a trained model goes on with, as it is drawn. The memory that it needs does not grow with the text."""
    from miras_compiler.errors import InputError, check_least

    check_least("--tokens", tokens, 1)
    check_least("--seed", seed, 0)
    if not 0 <= temperature <= 100:
        raise InputError(f"--temperature must be from 0, the likeliest token, to 100, got {temperature}; 1 is the model's own")
    prepare_libraries("train")
    with busy(f"loading {run}"):
        from miras_compiler.evaluate.harness import first_token
        from miras_compiler.evaluate.opened import open_run
        from miras_compiler.evaluate.sample import drawn
        from miras_compiler.evaluate.tokens import encoded, pieces, tokens_of

        opened = open_run(run, device)
        known = tokens_of(opened)
        ids = encoded(known, prompt, opened.model.config.vocab_size) or [first_token(opened.model)]
    for remark in opened.remarks:
        typer.echo(remark, err=True)
    sys.stdout.write(prompt)
    for piece in pieces(known, drawn(opened.model, ids, tokens, temperature, seed)):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
