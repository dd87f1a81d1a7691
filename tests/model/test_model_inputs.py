"""Refusals of models, and their behaviour in training: configurations, caches, masks, checkpointing, torch.compile."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from kit.bits import same_rows
from kit.layer_package import distance
from kit.model_package import FOLDER, TINY, classes, language_model, package, tokens

pytest.importorskip("transformers")
HYBRID: dict[str, object] = {"pattern": "[memory, window, attention]", "attention": "{heads: 2, window: 5}"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 30, "num_heads": 4}, "hidden_size: expected a multiple of num_heads = 4, got 30"),
        ({"hidden_size": "32"}, "hidden_size: expected an integer of at least 1, got '32'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: expected an integer of at least 1, got 0"),
        ({"head_dim": True}, "head_dim: expected an integer of at least 1, got True"),
        ({"num_layers": 2}, "num_layers: GatedDeltaNetConfig has no such field"),
        ({"top_k": 3}, "top_k: a parameter of generation is no field of GatedDeltaNetConfig"),
        ({"max_length": 3}, "max_length: a parameter of generation is no field"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: expected True or False, got 'yes'"),
        ({"eos_token_id": 256}, "eos_token_id: expected a token below vocab_size = 256"),
        ({"mlp_ratio": 0}, "mlp_ratio: expected a number above 0, got 0"),
        ({"digest": "0" * 12}, "digest: the checkpoint is of another spec"),
    ],
)
def test_fields_without_a_meaning_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classes("gated_delta_net")[0](**fields)


def test_a_field_that_is_set_to_nonsense_later_is_refused_by_the_model() -> None:
    config, _, kind = classes("gated_delta_net")
    wrong = config(**TINY)
    wrong.num_heads = 3
    with pytest.raises(ValueError, match="hidden_size: expected a multiple of num_heads = 3"):
        kind(wrong)


@pytest.mark.slow
def test_odd_caches_masks_and_arguments_are_refused() -> None:
    from transformers import DynamicCache

    model, ids = language_model("gated_delta_net"), tokens(2, 5)
    cache = model(ids, use_cache=True).past_key_values
    other = language_model("titans_lmm")(ids, use_cache=True).past_key_values
    three = language_model("gated_delta_net", {"num_hidden_layers": 3})(ids, use_cache=True).past_key_values
    nested = torch.nested.nested_tensor([torch.ones(5, dtype=torch.int64)] * 2, layout=torch.jagged)
    for arguments, error, message in (
        ({"cache": DynamicCache()}, ValueError, "cache: expected the cache that this model returned, or None, got DynamicCache"),
        ({"cache": other}, ValueError, "cache: expected"),
        ({"cache": three}, ValueError, "cache: expected one of 2 blocks"),
        ({"cache": cache, "past_key_values": three}, ValueError, "past_key_values: the older name of cache; give one"),
        ({"attention_mask": torch.ones(2, 4)}, ValueError, r"attention_mask: expected shape \[2, 5\], got \[2, 4\]"),
        ({"attention_mask": torch.ones(2, 7)}, ValueError, r"attention_mask: expected shape \[2, 5\], got \[2, 7\]"),
        ({"attention_mask": torch.zeros(2, 1, 5, 5)}, ValueError, "attention_mask: expected 0 and 1"),
        ({"attention_mask": torch.full((2, 5), -1e9)}, ValueError, "attention_mask: expected 1 at tokens"),
        ({"attention_mask": nested}, ValueError, "attention_mask: expected a dense tensor, got one of layout nested"),
        ({"labels": nested}, ValueError, "labels: expected integers of shape .*, got one of layout nested"),
        ({"position_ids": ids}, TypeError, "position_ids: an argument that the model does not know"),
        ({"state": cache}, TypeError, "state: an argument that the model does not know"),
        ({"output_attentions": True}, ValueError, "output_attentions: a memory has no attention weights"),
        ({"labels": ids, "logits_to_keep": 1}, ValueError, "logits_to_keep: a loss needs the logits of all tokens"),
        ({"inputs_embeds": torch.zeros(2, 5, 16)}, ValueError, "expected either input_ids or inputs_embeds"),
        ({"labels": ids.T}, ValueError, r"labels: expected integers of shape \[2, 5\], got torch.int64 of shape \[5, 2\]"),
        ({"labels": ids.double()}, ValueError, "labels: expected integers of shape"),
        ({"labels": ids.tolist()}, ValueError, "labels: expected integers of shape .*, got list"),
        ({"labels": ids.index_fill(1, torch.tensor(3), -1)}, ValueError, "labels: expected tokens of the vocabulary, .*, got -1"),
    ):
        with pytest.raises(error, match=message):
            model(ids, **arguments)
    with pytest.raises(ValueError, match="cache: it holds 2 sequences, got 1"):
        model(ids[:1], cache=cache)
    for odd in (ids.double(), ids.tolist()):
        with pytest.raises(ValueError, match=r"input_ids: expected integers of shape \[B, T\]"):
            model(odd)


def test_tokens_and_labels_outside_the_vocabulary_are_refused_where_values_may_be_looked_at() -> None:
    model, ids = language_model("gated_delta_net"), tokens(2, 5)
    size = model.config.vocab_size
    for wrong in (-1, size, 2**40):
        odd = ids.index_fill(1, torch.tensor(3), wrong)
        for name, arguments in (("input_ids", {"input_ids": odd}), ("labels", {"input_ids": ids, "labels": odd})):
            with pytest.raises(ValueError, match=rf"^{name}: expected tokens of the vocabulary, from 0 to {size - 1}, got {wrong}$"):
                model(**arguments)
    assert model(ids, labels=ids.index_fill(1, torch.tensor(3), -100)).loss.isfinite()
    first = ids.index_fill(1, torch.tensor(0), size)  # is never predicted
    assert torch.equal(model(ids, labels=first).loss, model(ids, labels=ids).loss)


def test_a_cache_holds_the_tokens_seen_and_can_be_copied_selected_repeated_and_reset() -> None:
    model, ids = language_model("gated_delta_net", {"num_hidden_layers": 3}, **HYBRID), tokens(2, 5)
    cache = model(ids, use_cache=True).past_key_values
    assert (cache.get_seq_length(), cache.is_compileable, cache.is_croppable, any(cache.is_linear)) == (5, False, False, False)
    following = tokens(2, 1, seed=2)
    expected = model(torch.cat((ids, following), 1)).logits[:, -1]
    assert distance(model(following, cache=copy.deepcopy(cache)).logits[:, -1], expected) < 1e-12
    assert cache.get_seq_length() == 5
    for layer in cache.layers:
        layer.batch_repeat_interleave(2)
        layer.batch_select_indices(torch.tensor([0, 2]))
        layer.reorder_cache(torch.tensor([1, 0]))
    assert distance(model(following.flip(0), cache=cache).logits[:, -1].flip(0), expected) < 1e-12
    cache.reset()
    assert distance(model(torch.cat((ids, following), 1), cache=cache, use_cache=True).logits[:, -1], expected) < 1e-12


def test_memory_and_windows_do_not_grow_while_decoding() -> None:
    model = language_model("gated_delta_net", {"num_hidden_layers": 2}, **HYBRID)
    cache, sizes = None, []
    for at in range(9):
        cache = model(tokens(1, 1, seed=at), past_key_values=cache, use_cache=True).past_key_values
        leaves = pytree.tree_leaves([layer.state for layer in cache.layers])
        sizes.append(sum(leaf.numel() for leaf in leaves))
    assert sizes[-1] == sizes[-4]


def test_what_is_read_from_a_cache_in_place_is_not_changed_in_place() -> None:
    model, ids = language_model("titans_lmm"), tokens(1, 9)
    embeddings = model.get_input_embeddings()(ids).detach().requires_grad_()
    (whole,) = torch.autograd.grad(model(inputs_embeds=embeddings).logits[:, 5:].square().sum(), embeddings)
    cache = model(inputs_embeds=embeddings[:, :5], use_cache=True).past_key_values
    (cut,) = torch.autograd.grad(model(inputs_embeds=embeddings[:, 5:], cache=cache).logits.square().sum(), embeddings)
    assert distance(whole, cut) < 1e-9 * float(1 + whole.abs().max())


@pytest.mark.parametrize("settings", [{}, HYBRID])
def test_checkpointing_changes_no_gradient(settings: dict[str, object]) -> None:
    model, ids = language_model("gated_delta_net", {"num_hidden_layers": 3}, **settings).train(), tokens(2, 9)
    found = []
    for checkpointing in (False, True):
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()  # its name since 5.24, before
            assert all(layer.gradient_checkpointing for layer in model.model.layers)
        found.append(torch.autograd.grad(model(ids, labels=ids).loss, list(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_loss_is_divided_by_the_items_that_a_trainer_counts() -> None:
    model, ids = language_model("gated_delta_net"), tokens(2, 9)
    mean, total = model(ids, labels=ids).loss, model(ids, labels=ids, num_items_in_batch=torch.tensor(4)).loss
    assert total.item() == pytest.approx(mean.item() * 16 / 4)


def test_a_trainer_predicts_logits(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    model, ids = language_model("gated_delta_net").float(), tokens(2, 9)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    rows: Any = [{"input_ids": row, "labels": row} for row in ids]
    found = Trainer(model, arguments).predict(rows)
    assert torch.equal(torch.as_tensor(found.predictions), model.eval()(ids).logits)
    assert found.metrics is not None
    assert found.metrics["test_loss"] > 0


def test_hidden_states_and_tuples_are_returned_on_request() -> None:
    model, ids = language_model("gated_delta_net"), tokens(2, 9)
    output = model(ids, output_hidden_states=True, use_cache=False)
    assert [tuple(x.shape) for x in output.hidden_states] == [(2, 9, 16)] * 3
    assert same_rows(model.lm_head(output.hidden_states[-1]), output.logits)
    assert same_rows(model(ids, return_dict=False)[0], output.logits)
    assert same_rows(model(ids, logits_to_keep=2).logits, output.logits[:, -2:])
    model.config.output_hidden_states, model.config.return_dict = True, False
    logits, hidden = model(ids, use_cache=False)
    assert same_rows(logits, output.logits)
    assert len(hidden) == 3


def test_gates_start_where_the_layer_says_and_embeddings_are_tied() -> None:
    config, _, kind = classes("gated_delta_net")
    model = kind(config(**TINY))
    mixer = model.model.layers[0].mixer
    assert torch.equal(mixer.alpha_gate.weight, torch.zeros_like(mixer.alpha_gate.weight))
    assert mixer.eta_gate.bias.abs().max() < 1e-6, "sigmoid(0) is its init, 0.5"
    assert model.lm_head.weight is model.model.embed_tokens.weight
    untied = kind(config(**TINY, tie_word_embeddings=False))
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight


@pytest.mark.slow
def test_torch_compile_gives_what_eager_gives() -> None:
    model, ids = language_model("gated_delta_net", {"num_hidden_layers": 1}).float(), tokens(2, 9)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad():
        for arguments in ({}, {"attention_mask": mask}):
            assert distance(compiled(ids, use_cache=False, **arguments).logits, model(ids, use_cache=False, **arguments).logits) < 1e-4


@pytest.mark.slow
def test_a_package_is_imported_without_transformers() -> None:
    package("gated_delta_net")
    script = f"""
import sys
sys.path.insert(0, {str(Path(FOLDER.name) / "gated_delta_net")!r})
import gated_delta_net
assert "transformers" not in sys.modules and "GatedDeltaNetForCausalLM" in gated_delta_net.__all__
sys.modules["transformers"] = None
try:
    gated_delta_net.GatedDeltaNetConfig
except ImportError as error:
    assert "transformers" in str(error)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(FOLDER.name))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of a tensor inside, which dynamo asks for it
@pytest.mark.parametrize("autocast", [False, True])
def test_blocks_of_one_kind_are_one_program_and_the_loss_another(autocast: bool) -> None:
    """With the same loss and gradients as without; nothing in a block keeps it from being one graph."""
    model, ids = language_model("gated_delta_net", {"num_hidden_layers": 3}).float(), tokens(2, 9)
    eager, graphs = copy.deepcopy(model), []

    def backend(module: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(1)
        return module.forward

    torch._dynamo.reset()
    for _ in range(2):  # the second time in place of the first
        model.compile_blocks(backend=backend, fullgraph=True)
    for each in (eager, model):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            each(ids, labels=ids, use_cache=False).loss.backward()
    assert len(graphs) == 2
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        assert distance(ours.grad, theirs.grad) < 1e-4
