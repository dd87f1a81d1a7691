"""Every wrong spec is refused with place, fault, cause and remedy; and the disk is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.spec_texts import SPEC, edited, told
from miras_compiler.cli import main

MEMORY, BIAS, RETENTION = "{kind: matrix}", "{kind: l2}\nret", "retention: {kind: l2}"
DEEP = (MEMORY, "{kind: mlp}")
KEYS = "attentional_bias, chunk, feature_map, gates, layer, ledger, memory, model, name, optimizer, paper, retention"
NO_NAME = "it becomes a Python name; use up to 64 letters a-z, digits and _, a letter first"
EXACT_ONLY = "with exact gradients a chunk is only a way to compute, and no state enters it; use after_write, or gradient: chunk_start"
Q = "the squared q-norm has a mirror map for 1 < q <= 2 (the printed map for q > 1)"
DECAYED = "retention.order: before_gradient, or no retention"
STEPS = "optimizer: {kind: gradient_descent, steps: 2}\n"
ONE_ALPHA = "the kl retention needs one alpha for all entries that sum to its total; say `per: head`"


def bias(fields: str) -> tuple[str, str]:
    return (BIAS, f"{{{fields}}}\nret")


def retention(fields: str) -> tuple[str, str]:
    return (RETENTION, f"retention: {{{fields}}}")


def tied(fields: str) -> str:
    return edited(more=f"layer: {{tie: {{{fields}}}}}\n")


def two_writes(tie: str, layer: str = "") -> str:
    decayed = ("{kind: l2}\ngates", "{kind: l2, order: before_gradient}\ngates")
    return edited(decayed, more=f"{STEPS}layer: {{{layer}tie: {{{tie}}}}}\n")


def name(text: str) -> tuple[str, str]:
    return ("name: x", f"name: {text}")


WRONG: dict[str, tuple[str, ...]] = {
    # keys and kinds
    edited(more="colour: red\n"): (f"x.yaml:8:1: unknown key 'colour'; choose from {KEYS}",),
    edited(more="optimiser: {kind: momentum}\n"): ("x.yaml:8:1: unknown key 'optimiser'; did you mean 'optimizer'?",),
    edited((MEMORY, "{kind: matrix, nrm: layer}")): ("x.yaml:2:24: unknown key 'nrm'; did you mean 'norm'?",),
    edited(("alpha: {}", "alpha: {pre: head}")): ("x.yaml:6:11: unknown key 'pre'; did you mean 'per'?",),
    edited(bias("kind: hubber")): ("x.yaml:3:20: unknown attentional bias 'hubber'; did you mean 'huber'?",),
    edited(retention("kind: kll, q: 1")): ("x.yaml:4:13: unknown retention 'kll'; did you mean 'kl'?",),
    edited((MEMORY, "{matrix}")): ("x.yaml:2:1: memory does not say its kind; write `memory: {kind: matrix}`",),
    edited(more="optimizer: {steps: 2}\n"): (
        "x.yaml:8:1: optimizer does not say its kind; choose from gradient_descent, momentum, nesterov, implicit, muon, preconditioned",
    ),
    edited(bias("kind: formula, text: sum(u)")): (
        "x.yaml:3:1: 'loss' is missing",
        "x.yaml:3:35: unknown key 'text'; choose from clip, kind, loss, window",
    ),
    "{}": (
        "x.yaml:1:1: 'name' is missing",
        "x.yaml:1:1: 'memory' is missing",
        "x.yaml:1:1: 'attentional_bias' is missing",
        "x.yaml:1:1: 'gates' is missing; every rule reads the step size eta: `gates: {eta: {init: 0.02}}`",
    ),
    # types and ranges
    edited((MEMORY, "matrix")): ("x.yaml:2:1: memory should be a mapping of keys, not 'matrix'; write `memory: {kind: matrix}`",),
    edited((MEMORY, "Matrix")): ("x.yaml:2:1: memory should be a mapping of keys, not 'Matrix'; write `memory: {kind: matrix}`",),
    edited((MEMORY, "{kind: MLP}")): ("x.yaml:2:10: unknown memory 'MLP'; did you mean 'mlp'?",),
    edited(bias("kind: formula, loss: 'sum((u - v)**2) + sum(k)'")): (
        "x.yaml:3:35: the loss reads 'k'; it is given the prediction u, the value v and gates; "
        "the key reaches a loss through the prediction u = M(W; k) alone",
    ),
    edited(bias("kind: formula, loss: 'sum((u - v)**2 + W**2)'")): (
        "x.yaml:3:35: the loss reads 'W'; it is given the prediction u, the value v and gates; "
        "a penalty on weights is a retention: `retention: {kind: bregman, generator: ...}`",
    ),
    edited(more="chunk:\n"): ("x.yaml:8:1: chunk should be a mapping of keys, not nothing",),
    edited(more="chunk: {size: 1.5}\n"): ("x.yaml:8:9: chunk.size should be a whole number, not 1.5",),
    edited(more="chunk: {size: 0}\n"): (
        "x.yaml:8:9: chunk.size should be greater than or equal to 1, not 0; a chunk holds at least one token",
    ),
    edited(more="chunk: {gradient: chunkstart}\n"): ("x.yaml:8:9: unknown gradient 'chunkstart'; did you mean 'chunk_start'?",),
    edited((MEMORY, "{kind: matrix, init: {std: fan_out}}")): (
        "x.yaml:2:31: memory.init.std should be 'fan_in' or a number, not 'fan_out'",
    ),
    edited(bias("kind: lp, p: 0.5")): (
        "x.yaml:3:30: attentional_bias.p should be greater than or equal to 1, not 0.5; "
        "below p = 1 the error is not convex, and its gradient is unbounded at 0",
    ),
    edited(bias("kind: lp, smooth: yes")): ("x.yaml:3:30: attentional_bias.smooth should be true or false, not 'yes'",),
    edited(bias("kind: l2, scale: .nan")): ("x.yaml:3:30: attentional_bias.scale should be a finite number, not nan",),
    edited(bias("kind: l2, scale: 1e999")): ("x.yaml:3:30: attentional_bias.scale should be a finite number, not inf",),
    edited(retention("kind: lq, q: 1")): (f"x.yaml:4:23: retention.q should be greater than 1, not 1; {Q}",),
    edited(retention("kind: lq_printed, q: 1")): (f"x.yaml:4:31: retention.q should be greater than 1, not 1; {Q}",),
    edited(retention("kind: lq, q: 1.01")): (
        "x.yaml:4:23: q = 1.01 has the dual exponent p = 101; powers above 64 overflow; take a larger q",
    ),
    edited(bias("kind: huber, delta: 0")): (
        "x.yaml:3:33: attentional_bias.delta should be text or greater than 0, not 0; "
        "a threshold is positive; name a gate to have it per token",
    ),
    edited(bias("kind: huber, delta: a-b")): (
        "x.yaml:3:33: attentional_bias.delta should be the name of a gate or a number, not 'a-b'",
    ),
    edited(more="paper: |\n  two\n  lines\n"): (
        "x.yaml:8:1: text with line breaks or control characters; it stands in one line of the generated files; write it in one line",
    ),
    # names
    edited(name("9x")): (f"x.yaml:1:1: the name '9x' is not an identifier; {NO_NAME}",),
    edited(name("../x")): (f"x.yaml:1:1: the name '../x' is not an identifier; {NO_NAME}",),
    edited(name("/etc/x")): (f"x.yaml:1:1: the name '/etc/x' is not an identifier; {NO_NAME}",),
    edited(name("é")): (f"x.yaml:1:1: the name 'é' is not an identifier; {NO_NAME}",),
    edited(name("x" * 65)): (f"x.yaml:1:1: the name '{'x' * 57}...' is not an identifier; {NO_NAME}",),
    edited(name("class")): ("x.yaml:1:1: the name 'class' is a keyword of Python; it becomes a Python name; for example 'class_memory'",),
    edited(name("torch")): (
        "x.yaml:1:1: the name 'torch' is taken by a Python module; the generated package would hide it; for example 'torch_memory'",
    ),
    edited(name("3")): ("x.yaml:1:1: name should be text, not 3",),
    # gates
    edited(("  eta: {}\n", "")): (
        "x.yaml:5:1: every rule reads the gate 'eta', which is not declared; add `eta: {source: constant, init: 1}` to gates",
    ),
    edited(("  eta: {}\n", "  etta: {}\n")): (
        "x.yaml:5:1: every rule reads the gate 'eta', which is not declared; add `eta: {source: constant, init: 1}` to gates",
        "x.yaml:7:3: the gate 'etta' is declared and nothing reads it; remove it; did you mean 'eta'?",
    ),
    edited(bias("kind: huber")): (
        "x.yaml:5:1: the attentional bias huber reads the gate 'delta', which is not declared; add `delta: {init: 1}` to gates",
    ),
    edited(bias("kind: formula, loss: sum(u*v*beta)")): (
        "x.yaml:5:1: the attentional bias formula reads the gate 'beta', which is not declared; add `beta: {init: 1}` to gates",
    ),
    edited(more="  mu: {}\n"): ("x.yaml:8:3: the gate 'mu' is declared and nothing reads it; remove it; the rule reads alpha, eta",),
    edited(more="  a-b: {}\n  sum: {}\n  in: {}\n"): (
        f"x.yaml:8:3: the gate's name 'a-b' is not an identifier; {NO_NAME}",
        "x.yaml:9:3: the gate's name 'sum' has a meaning of its own; operators or formulas use it; for example 'sum_gate'",
        "x.yaml:10:3: the gate's name 'in' is a keyword of Python; it becomes a Python name; for example 'in_gate'",
    ),
    edited(bias("kind: huber, delta: alpha")): (
        "x.yaml:3:33: the threshold is 'alpha', what is retained of the state; a threshold is a gate of its own; name it delta",
    ),
    edited(bias("kind: formula, loss: sum(u*v*alpha)")): (
        "x.yaml:3:35: the formula uses 'alpha', what is retained of the state; it has its place in the rule already; "
        "use a name of its own",
    ),
    edited(("eta: {}", "eta: {init: [0.1, 0.2]}")): (
        "x.yaml:7:9: 2 initial values for 16 heads; give one number, or one per head (layer.heads)",
    ),
    edited(("eta: {}", "eta: {init: [a, 0.2]}")): ("x.yaml:7:16: gates.eta.init.0 should be a number, not 'a'",),
    edited(("eta: {}", "eta: {init: -1}")): (
        "x.yaml:7:9: the gate 'eta' starts at -1; 'eta' is >= 0, and its softplus does not reach the ends; for example 0.02",
    ),
    edited(("alpha: {}", "alpha: {init: 1}")): (
        "x.yaml:6:11: the gate 'alpha' starts at 1; 'alpha' is [0, 1], and its sigmoid does not reach the ends; for example 0.999",
    ),
    edited(("alpha: {}", "alpha: {init: 1.5, source: constant}")): (
        "x.yaml:6:11: the gate 'alpha' starts at 1.5; 'alpha' is [0, 1]; for example 0.999",
    ),
    edited(bias("kind: formula, loss: sum(abs(sign(u - v)*v))")): (
        "x.yaml:3:35: the formula is flat: u stands inside sign( ) only; a surprise is the slope of the loss",
    ),
    edited(bias("kind: formula, loss: sum(log(abs(u - v)))")): (
        "x.yaml:3:35: the loss has no value at u = -1.3, v = -1.3; it has the logarithm of 0 there; "
        "for example log(1 + abs(…)) or log(max(…, 1e-6))",
    ),
    edited(bias("kind: formula, loss: 2*sum(u - v)")): (
        "x.yaml:3:35: the slope of the loss in u does not depend on v; the memory would write the same whatever value it is given; "
        "for example sum((u - v)**2)",
    ),
    # combinations
    edited((MEMORY, "{kind: matrix, residual: true}"), more="layer: {value_dim: 32}\n"): (
        "x.yaml:2:24: a residual with K = 64 and V = 32; it adds the key to a value; "
        "make layer.value_dim equal to layer.head_dim, or set residual: false",
    ),
    edited(DEEP, more="chunk: {size: 16}\n"): (
        "x.yaml:8:1: chunk.gradient is not given; for a deep memory it decides between two functions: exact runs token by token, "
        "chunk_start in parallel; add `chunk: {size: 16, gradient: chunk_start}`, or exact",
    ),
    edited(retention("kind: l2, order: before_gradient"), more="chunk: {gradient: chunk_start}\n"): (
        "x.yaml:4:23: before_gradient with chunk.gradient: chunk_start; the decayed state that before_gradient measures at does not exist "
        "where all gradients are taken at the chunk's start; use after_gradient, or gradient: exact",
    ),
    edited(retention("kind: sigmoid"), more="chunk: {retention: chunk_end}\n"): (
        "x.yaml:8:9: chunk.retention: chunk_end without gradient: chunk_start; reads inside the chunk follow a linear path from the state "
        "that enters it; use per_token, or gradient: chunk_start",
    ),
    edited(more="chunk: {retention: chunk_end, gradient: chunk_start}\n"): (
        "x.yaml:8:9: chunk.retention: chunk_end has no meaning here; the mirror map of the retention l2 is the identity, "
        "and there is nothing to apply at the chunk's end; remove it",
    ),
    edited(more="chunk: {read: chunk_start}\n"): (f"x.yaml:8:9: chunk.read: chunk_start with gradient: exact; {EXACT_ONLY}",),
    edited(retention("kind: kl"), ("alpha: {}", "alpha: {per: key_channel}")): (
        f"x.yaml:6:11: alpha is per key_channel, inside a slice (retention.slice: input); {ONE_ALPHA}",
    ),
    edited(retention("kind: kl, slice: output"), ("alpha: {}", "alpha: {per: value_channel}")): (
        f"x.yaml:6:11: alpha is per value_channel, inside a slice (retention.slice: output); {ONE_ALPHA}",
    ),
    edited(DEEP, ("alpha: {}", "alpha: {per: value_channel}"), more="chunk: {gradient: exact}\n"): (
        "x.yaml:6:11: the gate 'alpha' is per value_channel on a deep memory; no paper says how a vector over channels acts on the weight "
        "matrices of a deep memory; say `per: head`",
    ),
    edited(more="  mu: {per: key_channel}\noptimizer: {kind: momentum}\n"): (
        "x.yaml:8:8: the gate 'mu' is per key_channel; mu is defined per head only; say `per: head`",
    ),
    # formulas
    edited(retention("kind: bregman, generator: w**3")): (
        "x.yaml:4:28: the generator is not convex: its slope falls at w = -0.00446; take a convex function",
    ),
    edited(retention("kind: f_divergence, generator: sqrt(t)"), ("  alpha: {}\n", "")): (
        "x.yaml:4:33: the generator is not convex: its slope falls at t = 0.00446; take a convex function",
    ),
    edited(retention("kind: bregman, generator: w*log(x)")): ("x.yaml:4:28: in the formula, column 7: unknown name 'x'; choose from w",),
    edited(retention("kind: bregman, generator: sum(w)")): (
        "x.yaml:4:28: the formula is one number for the whole row; it must have a value per coordinate of w",
    ),
    edited(bias("kind: formula, loss: u - v")): (
        "x.yaml:3:35: the formula has a value per coordinate; an attentional bias is one number per token; wrap it in sum( )",
    ),
    # bounds with a reason
    edited(bias("kind: l2, window: 0")): (
        "x.yaml:3:30: attentional_bias.window should be greater than or equal to 1, not 0; "
        "a window holds the token itself; leave it out to have none",
    ),
    edited((MEMORY, "{kind: matrix, init: {std: 0}}"), retention("kind: weight_norm")): (
        "x.yaml:2:31: memory.init.std should be 'fan_in' or greater than 0, not 0; "
        "a deep memory of zeros has no gradient, and a retention of norms keeps zero; say fan_in for 1/√rows",
    ),
    edited(more="feature_map: {kind: polynomial, degree: 3}\n"): (
        "x.yaml:8:33: degree 3 makes 47905 features of 64 channels; 4096 is the most that a state of features times values is built for; "
        "take a lower degree or a smaller layer.head_dim",
    ),
    edited(more="feature_map: {kind: polynomial, degree: 0}\n"): (
        "x.yaml:8:33: feature_map.degree should be greater than or equal to 1, not 0; "
        "degree 1 is the key itself and a constant, and above 8 the features are too many for any key",
    ),
    edited(more="  mu: {}\noptimizer: {kind: nesterov}\nchunk: {gradient: chunk_start}\n"): (
        "x.yaml:9:1: the optimizer nesterov needs chunk.gradient: exact; it measures where the momentum of each token leads to, "
        "and frozen gradients do not follow it; say gradient: exact, or take momentum",
    ),
    # tied rows
    tied("erase_key: {of: k}"): (
        "x.yaml:8:15: the row 'erase_key' is tied to 'k'; the operator takes no erase_key; "
        "set optimizer.erase_key: true, or remove the tie",
    ),
    tied("k: {of: 1 - alpha}"): (
        "x.yaml:8:19: the row 'k' is tied to '1 - alpha'; that is a number per key channel only where alpha is one; "
        "tie a key, and say `per: key_channel` at gates.alpha",
    ),
    tied("k: {of: k}"): (
        "x.yaml:8:19: the row 'k' is tied to 'k'; a row tied to itself stays the same; "
        "give a gate: `k: {of: k, gate: {}}`, a lag: `lag: 1`, or remove the tie",
    ),
    tied("k: {of: v}"): (
        "x.yaml:8:19: the row 'k' is tied to 'v'; one has key channels and the other value channels; tie keys to keys",
    ),
    tied("k: {of: q}, q: {of: q, gate: {}}"): (
        "x.yaml:8:19: the row 'k' is tied to 'q'; that row is tied itself; tie both to the row, or to 1 - alpha, that they are made of",
    ),
    tied("k: {of: q, gate: {init: 1}}"): ("x.yaml:8:33: layer.tie.k.gate.init should be less than 1, not 1",),
    tied("r: {of: k}"): ("x.yaml:8:15: unknown key 'r'; choose from erase_key, erase_write_key, k, q, v",),
    two_writes("k: {of: q}"): (
        "x.yaml:9:15: the row 'k' is tied; a token has several writes, each with a row of its own; "
        "remove the tie, or give one write zeros: `v: {of: zero, write: 1}`",
    ),
    tied("k: {of: k, lagg: 1}"): ("x.yaml:8:26: unknown key 'lagg'; did you mean 'lag'?",),
    tied("k: {of: k, lag: 2}"): ("x.yaml:8:26: layer.tie.k.lag should be less than or equal to 1, not 2",),
    tied("k: {of: q, plus: [{of: q}, {of: v}]}"): (
        "x.yaml:8:43: the row 'k' is tied to 'v'; one has key channels and the other value channels; tie keys to keys",
    ),
    tied("k: {of: q, plus: [{of: zero}]}"): (
        "x.yaml:8:26: the row 'k' is tied to 'q'; a term of zeros adds nothing; remove the term",
    ),
    tied("k: {of: q, gate: {rot: true}}"): ("x.yaml:8:33: unknown key 'rot'; did you mean 'root'?",),
    tied("v: {of: zero, write: 1}"): (
        "x.yaml:8:19: the row 'v' is tied to 'zero'; a token has one write, and the memory would hold nothing; "
        "set optimizer.steps: 2, or remove the tie",
    ),
    tied("k: {of: q, write: 1}"): (
        "x.yaml:8:26: the row 'k' is tied to 'q'; only zeros are those of one write; leave write out, or say `of: zero`",
    ),
    two_writes("k: {of: zero, write: 1}"): (
        "x.yaml:9:19: the row 'k' is tied to 'zero'; a write at a key of zeros changes nothing; say it of v, or remove the tie",
    ),
    two_writes("v: {of: zero}"): (
        "x.yaml:9:19: the row 'v' is tied to 'zero'; a token has several writes; say which: `{of: zero, write: 1}`",
    ),
    two_writes("v: {of: zero, write: 3}"): ("x.yaml:9:29: there is no write 3; a token has 2 (optimizer.steps); say 1 to 2",),
    two_writes("v: {of: zero, write: 1, lag: 1}"): (
        "x.yaml:9:39: the row 'v' is tied to 'zero'; zeros have neither a gate nor a lag, a sign or further terms; leave lag out",
    ),
    # heads of values and the skip
    edited(more="layer: {heads: 4, value_heads: 6}\n"): (
        "x.yaml:8:1: layer.value_heads: 6 is not a multiple of layer.heads: 4; every head of keys serves as many heads of values; "
        "for example `value_heads: 8`",
    ),
    edited(more="layer: {value_head: 32}\n"): ("x.yaml:8:9: unknown key 'value_head'; did you mean 'value_heads'?",),
    edited(("eta: {}", "eta: {init: [0.1, 0.2]}"), more="layer: {heads: 2, value_heads: 4}\n"): (
        "x.yaml:7:9: 2 initial values for 4 heads; give one number, or one per head (layer.value_heads)",
    ),
    two_writes("v: {of: v}", "skip: true, "): (
        "x.yaml:9:9: a skip with several writes; a token has a value for every write, and no paper says which is added; "
        "leave skip out, or set optimizer.steps: 1",
        "x.yaml:9:27: the row 'v' is tied; a token has several writes, each with a row of its own; "
        "remove the tie, or give one write zeros: `v: {of: zero, write: 1}`",
    ),
    # all at once, in the order of the file, and none that follows from another
    edited(
        (MEMORY, "{kind: mlp, residual: true}"), name("os"), ("eta: {}", "eta: {per: heads}"), more="layer: {value_dim: 3}\nx: 1\n"
    ): (
        "x.yaml:1:1: the name 'os' is taken by a Python module; the generated package would hide it; for example 'os_memory'",
        "x.yaml:1:1: chunk.gradient is not given; for a deep memory it decides between two functions: exact runs token by token, "
        "chunk_start in parallel; add `chunk: {size: 16, gradient: chunk_start}`, or exact",
        "x.yaml:2:21: a residual with K = 64 and V = 3; it adds the key to a value; "
        "make layer.value_dim equal to layer.head_dim, or set residual: false",
        "x.yaml:7:9: unknown per 'heads'; did you mean 'head'?",
        f"x.yaml:9:1: unknown key 'x'; choose from {KEYS}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), WRONG.items(), ids=[lines[0][:60] for lines in WRONG.values()])
def test_a_wrong_spec_is_told_and_the_disk_is_as_it_was(
    text: str, lines: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text)
    assert main(["check", "x.yaml"]) == 2
    assert capsys.readouterr() == ("", "\n".join(lines) + "\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
    assert Path("x.yaml").read_text() == text


@pytest.mark.parametrize(
    ("optimizer", "needs"),
    [
        ("nesterov}", ["chunk.gradient: exact"]),
        ("implicit}", ["an l2 attentional bias", "a matrix memory", "chunk.gradient: exact", DECAYED]),
        ("preconditioned}", ["a matrix memory", "chunk.gradient: exact", DECAYED]),
        ("gradient_descent, steps: 2}", ["a matrix memory", "chunk.gradient: exact", DECAYED]),
        ("gradient_descent, erase_key: true}", ["an l2 attentional bias", "a matrix memory", "chunk.gradient: exact"]),
        ("muon, apply: chunk_end}", ["chunk.read: chunk_start"]),
    ],
)  # fmt: skip
def test_an_optimizer_says_all_that_it_needs(optimizer: str, needs: list[str]) -> None:
    text = edited(DEEP, bias("kind: dot_product"), more=f"optimizer: {{kind: {optimizer}\nchunk: {{gradient: chunk_start}}\n")
    said = [line.partition(" needs ")[2].partition(";")[0] for line in told(text) if line.startswith("x.yaml:8:1: ")]
    assert said == needs


def test_an_erase_key_has_no_surprise_to_clip() -> None:
    text = edited(bias("kind: l2, clip: 1"), more="optimizer: {kind: gradient_descent, erase_key: true}\n")
    assert told(text) == [
        "x.yaml:3:30: a clip with an erase key; the step along three keys is not one gradient that could be shortened; remove clip"
    ]


def test_momentum_is_not_defined_for_an_f_divergence() -> None:
    text = SPEC.replace(RETENTION, "retention: {kind: f_divergence, generator: t**2}").replace("  alpha: {}\n", "  mu: {}\n")
    assert "x.yaml:8:1: the retention f_divergence has no momentum; its step is not a sum of surprises; use gradient_descent" in told(
        text + "optimizer: {kind: momentum}\n"
    )


@pytest.mark.parametrize(
    ("generator", "remedy"),
    [
        ("exp(w)", "take another one"),
        ("w**2/2 + exp(w)", "say `inverse: newton`, or take another function"),
    ],
)
def test_newtons_inverse_is_advised_where_it_is_one(generator: str, remedy: str) -> None:
    (said,) = told(SPEC.replace(RETENTION, f'retention: {{kind: bregman, generator: "{generator}"}}'))
    assert said.startswith("x.yaml:4:28: the generator has a derivative ")
    assert said.endswith(f"; {remedy}")
