"""Multiple choice: three formats of questions, refusals, and answers by likelihood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.model_package import language_model
from miras_compiler.errors import InputError
from miras_compiler.evaluate.choices import Question, read_question, read_questions
from miras_compiler.evaluate.harness import evaluate_choices, first_token, log_likelihoods, split
from miras_compiler.evaluate.tokens import ByteTokens

PLAIN = {"context": "The sky is", "endings": ["blue.", "made of cheese, as they say."], "label": 0}
HELLASWAG = {
    "activity_label": "Roof", "ctx_a": "A man climbs.", "ctx_b": "he  falls", "ctx": "A man climbs. he  falls", "label": "1",
    "endings": ["[header] down", "up [title] and away"],
}  # fmt: skip
PIQA = {"goal": "open a jar", "sol1": "turn the lid", "sol2": "hit it with a shoe", "label": 1}


@pytest.mark.parametrize(
    ("fields", "question"),
    [
        (PLAIN, Question("The sky is", ("blue.", "made of cheese, as they say."), 0)),
        (HELLASWAG, Question("Roof: A man climbs. He falls", (" down", "up. and away"), 1)),
        ({"ctx": "A man", "endings": ["runs", "sits"], "label": 0}, Question("A man", ("runs", "sits"), 0)),
        (PIQA, Question("Question: open a jar\nAnswer:", ("turn the lid", "hit it with a shoe"), 1)),
    ],
)
def test_questions_are_put_as_the_harness_puts_them(fields: dict[str, Any], question: Question) -> None:
    assert read_question("q.jsonl:1", json.dumps(fields)) == question


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "q.jsonl:7: is not JSON"),
        ("[" * 100_000, "q.jsonl:7: is not JSON"),
        ("[1]", "q.jsonl:7: holds no JSON object"),
        ('{"text": "x", "label": 0}', "q.jsonl:7: has text, label; a line holds context, endings and label"),
        ('{"context": "x", "endings": ["y"], "label": 0}', "a line holds context, endings and label"),
        ('{"goal": "x", "sol1": "y", "label": 0}', "a line holds context, endings and label"),
        ('{"context": "x", "endings": ["y", 3], "label": 0}', "a line holds context, endings and label"),
        ('{"context": "x", "endings": ["y", "z"], "label": 2}', "label must be one of 0 … 1, the number of the right ending, got '2'"),
        ('{"context": "x", "endings": ["y", "z"]}', "got ''"),
    ],
)
def test_what_is_no_question_is_refused_by_its_line(line: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_question("q.jsonl:7", line)
    assert message in str(refused.value)


def test_files_without_questions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("\n\n")
    with pytest.raises(InputError, match=r"q\.jsonl: has no questions"):
        read_questions(tmp_path / "q.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")


def test_spaces_at_the_end_of_a_context_belong_to_the_continuation() -> None:
    assert split(ByteTokens(), 10, "ab ", "c") == (list(b"ab c"), 2)
    assert split(ByteTokens(), 10, "", "c") == ([10, *b"c"], 1)


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("transformers")
    return language_model("gated_delta_net", {"vocab_size": 256})


def literal(model: Any, context: str, continuation: str) -> tuple[float, bool]:
    """One token after the other, from the logits of transformers' forward pass."""
    ids = [*context.encode(), *continuation.encode()]
    total, likeliest = 0.0, True
    for place in range(len(context.encode()), len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([ids[:place]])).logits[0, -1]
        total += float(logits.log_softmax(-1)[ids[place]])
        likeliest = likeliest and int(logits.argmax()) == ids[place]
    return total, likeliest


@pytest.mark.slow
def test_likelihoods_are_those_of_the_tokens_one_after_the_other(model: Any) -> None:
    with torch.no_grad():
        best = chr(int(model(torch.tensor([list(b"ab")])).logits[0, -1].argmax()) % 128)
    pairs = [("ab", "cde"), ("a longer context", "x"), ("ab", best)]
    found = log_likelihoods(model, [split(ByteTokens(), first_token(model), *pair) for pair in pairs])
    for (nats, likeliest), pair in zip(found, pairs, strict=True):
        expected, greedy = literal(model, *pair)
        assert nats == pytest.approx(expected, rel=1e-9)
        assert likeliest == greedy


@pytest.mark.slow
def test_the_harness_takes_the_likeliest_ending(model: Any, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    rows = [PLAIN, HELLASWAG, PIQA, {"context": "x", "endings": ["a", "b", "c"], "label": 2}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    right, right_per_character = [], []
    for query, choices, label in read_questions(tmp_path / "q.jsonl"):
        nats = torch.tensor([literal(model, query, f" {choice}")[0] for choice in choices])
        right.append(int(nats.argmax()) == label)
        right_per_character.append(int((nats / torch.tensor([float(len(choice)) for choice in choices])).argmax()) == label)
    found = evaluate_choices(model, ByteTokens(), tmp_path / "q.jsonl")
    assert found["accuracy"] == pytest.approx(sum(right) / 4)
    assert found["accuracy_per_character"] == pytest.approx(sum(right_per_character) / 4)
    assert found["questions"] == 4
    assert found["standard_error"] == pytest.approx(torch.tensor(right).double().std().item() / 2)
