"""Questions with several endings, put to a language model by lm-evaluation-harness: the likeliest ending is the answer. No network."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from miras_compiler.evaluate.choices import Question, read_questions
from miras_compiler.evaluate.losses import logits_at, rows_at_once
from miras_compiler.evaluate.tokens import Tokens

SCORES = {  # of the harness, whose standard errors of means need no bootstrap, and ask for it nevertheless
    "acc,none": "accuracy",
    "acc_norm,none": "accuracy_per_character",
    "acc_stderr,none": "standard_error",
}


def evaluate_choices(model: Any, tokens: Tokens, path: Path) -> dict[str, float]:
    """`accuracy` by likelihood, `accuracy_per_character` by likelihood over the length of an ending, and the standard error of the first.

    InputError for a file that holds no questions.
    """
    questions = read_questions(path)
    import lm_eval
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="miras-choices-") as folder:
        task = task_of(questions, Path(folder))
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars of the harness
            results: Any = lm_eval.simple_evaluate(
                likelihoods(model, tokens), tasks=[task], bootstrap_iters=1, log_samples=False,
                task_manager=TaskManager(include_defaults=False),
            )  # fmt: skip
    found = results["results"]["choices"]
    scores = {name: float(found[key]) for key, name in SCORES.items() if isinstance(found.get(key), int | float)}
    return scores | {"questions": len(questions)}


def task_of(questions: Sequence[Question], folder: Path) -> dict[str, Any]:
    """The harness's description of a task whose questions lie in a file of that folder."""
    file = folder / "questions.jsonl"
    rows = ({"query": each.query, "choices": list(each.choices), "gold": each.label} for each in questions)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        "task": "choices",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "query",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
    }


def likelihoods(model: Any, tokens: Tokens) -> Any:
    """The model as the harness asks for it: the logarithm of the likelihood of a continuation."""
    from lm_eval.api.model import LM

    class Likelihoods(LM):  # type: ignore[misc]
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return log_likelihoods(model, [split(tokens, first_token(model), *request.args) for request in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            raise NotImplementedError

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            raise NotImplementedError

    return Likelihoods()


def split(tokens: Tokens, first: int, context: str, continuation: str) -> tuple[list[int], int]:
    """The tokens of both texts together, and how many of them are the context: spaces at its end belong to the continuation.

    `first` stands for an empty context.
    """
    bare = context.rstrip()
    before = tokens.encode(bare) or [first]
    whole = tokens.encode(context + continuation) if bare else [first, *tokens.encode(context + continuation)]
    return whole, min(len(before), len(whole) - 1)


def first_token(model: Any) -> int:
    """The token that begins a text: the configuration's, or a line break."""
    config = model.config
    known = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
    return int(known[0]) if isinstance(known, list) else int(known) if known is not None else min(10, config.vocab_size - 1)


@torch.no_grad()
def log_likelihoods(model: Any, pairs: Sequence[tuple[list[int], int]]) -> list[tuple[float, bool]]:
    """Of the tokens behind the context of each pair, in nats, and whether each of them is the likeliest."""
    found: dict[int, tuple[float, bool]] = {}
    device = next(model.parameters()).device
    waiting = sorted(range(len(pairs)), key=lambda number: -len(pairs[number][0]))
    while waiting:
        rows = rows_at_once(model, len(pairs[waiting[0]][0]))
        numbers, waiting = waiting[:rows], waiting[rows:]
        batch = torch.zeros(len(numbers), len(pairs[numbers[0]][0]), dtype=torch.int64)  # no token depends on those behind it
        for row, number in enumerate(numbers):
            own = pairs[number][0]
            batch[row, : len(own)] = torch.tensor(own)
        hidden = model.model(batch.to(device), use_cache=False).last_hidden_state
        for row, number in enumerate(numbers):
            own, start = pairs[number]
            logits = logits_at(model, hidden[row, start - 1 : len(own) - 1])
            target = torch.tensor(own[start:], device=device)
            nats = logits.log_softmax(-1).gather(1, target[:, None]).sum()
            found[number] = float(nats), bool((logits.argmax(-1) == target).all())
    return [found[number] for number in range(len(pairs))]
