"""Random specs over the whole schema, as the mapping that a spec's text stands for. Every draw is from the `random.Random` that is given.

Choices lean towards values that fit the choices before them, so that about two specs of three mean something; no combination is ruled out:
the compiler decides which may be built and which must be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from kit.random_formulas import random_generator, random_loss, random_map, random_ratio_generator
from miras_compiler.elements.kinds import KINDS
from miras_compiler.spec.gates import GATE_LETTERS

Tree = dict[str, Any]
Item = TypeVar("Item")

FITTING = 0.9  # the share of choices among values that fit the choices before
ACTIVATIONS = ("gelu", "gelu_tanh", "silu", "relu", "tanh", "identity")
PER = ("head", "key_channel", "value_channel")


class _Draw:
    """One spec; each method adds a section."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.tree: Tree = {"name": "drawn"}

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one_of(self, items: Sequence[Item], *, where: bool = True, fits: Sequence[Item] = ()) -> Item:
        """One of the items; where a choice before this one asks for it, mostly one of those that fit."""
        return self.random.choice(fits if fits and where and self.chance(FITTING) else items)

    def kind(self, role: str, *, where: bool = True, fits: Sequence[str] = ()) -> str:
        return self.one_of(list(KINDS[role]), where=where, fits=fits)

    def spec(self) -> Tree:
        self.optimizer()
        self.memory()
        self.attentional_bias()
        self.retention()
        self.chunk()
        self.feature_map()
        self.layer()
        self.gates()
        return self.tree

    def optimizer(self) -> None:
        kind = self.kind("optimizer", fits=("gradient_descent", "gradient_descent", "momentum", *KINDS["optimizer"]))
        optimizer: Tree = {"kind": kind}
        if kind == "gradient_descent" and self.chance(0.3):
            if self.chance(0.5):
                optimizer["steps"] = self.one_of((1, 2, 3))
            else:
                optimizer["erase_key"] = True
        if kind == "muon":
            optimizer["coefficients"] = self.one_of(("jordan", "lact"))
            optimizer["apply"] = self.one_of(("per_token", "chunk_end"))
        self.tree["optimizer"] = optimizer
        self.erases = optimizer.get("erase_key", False)
        self.writes = optimizer.get("steps", 1) > 1
        self.exact = kind in ("implicit", "preconditioned", "nesterov") or self.writes or self.erases
        self.linear = kind in ("implicit", "preconditioned") or self.writes or self.erases
        self.at_end = optimizer.get("apply") == "chunk_end"

    def memory(self) -> None:
        matrices = ("matrix", "mlp", "swiglu")
        fits: Sequence[str] = ("matrix",) if self.linear else matrices if self.tree["optimizer"]["kind"] == "muon" else ()
        if self.exact and not self.linear:
            fits = (*matrices, "matrix", "matrix", "vector")
        memory: Tree = {"kind": self.kind("memory", fits=fits)}
        if memory["kind"] in ("mlp", "swiglu"):
            memory["expansion"] = self.one_of((1, 2))
        if memory["kind"] == "mlp":
            memory["layers"] = self.one_of((1, 2, 2, 3))
            memory["activation"] = self.one_of(ACTIVATIONS)
        if self.chance(0.4):
            memory["norm"] = self.one_of(("none", "layer", "rms"), where=self.erases, fits=("none",))
        if self.chance(0.3):
            memory["residual"] = self.one_of((True, False), where=self.erases, fits=(False,))
        if self.chance(0.2):
            memory["init"] = {"std": self.one_of(("fan_in", 0.5, 1.0)), "learned": self.chance(0.5)}
        self.tree["memory"] = memory

    def attentional_bias(self) -> None:
        linear = self.erases or self.tree["optimizer"]["kind"] == "implicit"
        bias: Tree = {"kind": self.kind("attentional_bias", where=linear, fits=("l2",))}
        self.loss_gates: tuple[str, ...] = ()
        match bias["kind"]:
            case "l2":
                bias["scale"] = self.one_of((1.0, 2.0, 0.5))
            case "lp":
                bias |= {"p": self.one_of((1.0, 1.5, 2.0, 3.0, 4.0)), "smooth": self.chance(0.4), "slope": self.one_of((1.0, 10.0))}
            case "huber" | "huber_norm" | "yaad_switch":
                bias["delta"] = self.one_of(("delta", "delta", "kappa", 0.7, 3.0))
                self.loss_gates = (bias["delta"],) if isinstance(bias["delta"], str) else ()
                if bias["kind"] == "yaad_switch":
                    bias["scale"] = self.one_of((1.0, 2.0))
            case "robust_shift":
                bias["shift"] = self.one_of((0.0, 0.5, 1.0))
            case "epsilon_insensitive":
                bias["epsilon"] = self.one_of((0.0, 0.1, 0.5))
            case "formula":
                bias["loss"], self.loss_gates = random_loss(self.random)
        if self.chance(0.15):
            bias["clip"] = self.one_of((None, 0.3, 1.0), where=self.erases, fits=(None,))
        if self.chance(0.2):
            plain = self.erases or self.writes or self.tree["optimizer"]["kind"] in ("implicit", "preconditioned")
            bias["window"] = self.one_of((1, 2, 3, 5), where=plain, fits=(None, 1))
        self.tree["attentional_bias"] = bias

    def retention(self) -> None:
        others = [kind for kind in KINDS["retention"] if kind != "f_divergence" or self.tree["optimizer"]["kind"] == "gradient_descent"]
        kind = self.kind("retention", fits=("none", "l2", "l2") * (4 if self.exact else 1) + tuple(others))
        retention: Tree = {"kind": kind}
        match kind:
            case "l2":
                retention["value_decay"] = self.chance(0.2)
            case "kl" | "f_divergence":
                retention |= {"slice": self.one_of(("input", "output", "all")), "total": self.one_of((1.0, 2.0, 16.0))}
            case "lq":
                retention["q"] = self.one_of((1.2, 4 / 3, 1.5, 1.75, 2.0))
            case "lq_printed":
                retention["q"] = self.one_of((1.5, 2.0, 3.0, 4.0))
            case "elastic_net" | "elastic_net_ftrl":
                retention["threshold"] = self.one_of((0.0, 0.05, 0.2))
        if kind == "bregman":
            retention |= {"generator": random_generator(self.random), "inverse": self.one_of(("closed", "newton", "newton"))}
        if kind == "f_divergence":
            retention["generator"] = random_ratio_generator(self.random)
        decayed = (self.linear and not self.erases) and kind != "none"
        orders = ("after_gradient", "before_gradient")
        retention["order"] = self.one_of(orders, fits=orders[1:] if decayed else orders if self.exact else ("after_gradient",) * 6 + orders)
        self.tree["retention"] = retention

    def chunk(self) -> None:
        before = self.tree["retention"]["order"] == "before_gradient"
        chunk: Tree = {"size": self.one_of((1, 2, 3, 4, 5, 7, 8, 16))}
        deep = self.tree["memory"]["kind"] in ("mlp", "swiglu")
        bends = self.tree["retention"]["kind"] in ("kl", "sigmoid", "lq", "lq_printed", "elastic_net_ftrl", "bregman")
        if self.chance(0.95 if deep else 0.8):
            fits = ["exact"] if self.exact or before else ["chunk_start"] if self.at_end else ["exact", "chunk_start"]
            if (deep or bends) and "chunk_start" in fits:
                fits += ["chunk_start"] * 3  # all else runs token by token
            chunk["gradient"] = self.one_of(("exact", "chunk_start"), fits=fits)
        on_grid = chunk.get("gradient") == "chunk_start"
        if self.chance(0.5) or self.at_end:
            reads = ("after_write", "before_write", "chunk_start")
            chunk["read"] = self.one_of(reads, fits=reads[2:] if self.at_end else reads if on_grid else reads[:2])
        if self.chance(0.35):
            chunk["retention"] = self.one_of(("per_token", "chunk_end"), where=not (on_grid and bends), fits=("per_token",))
        self.tree["chunk"] = chunk

    def feature_map(self) -> None:
        if self.chance(0.5):
            return
        vector = self.tree["memory"]["kind"] == "vector"
        kinds = [kind for kind in KINDS["feature_map"] if kind != "polynomial"]
        feature_map: Tree = {"kind": self.kind("feature_map", where=vector, fits=kinds)}
        if feature_map["kind"] == "polynomial":
            feature_map["degree"] = self.one_of((1, 2, 3))
        if feature_map["kind"] == "formula":
            feature_map["map"] = random_map(self.random)
        self.tree["feature_map"] = feature_map

    def layer(self) -> None:
        layer: Tree = {"heads": self.one_of((1, 2, 3)), "head_dim": self.one_of((2, 4, 6))}
        square = self.tree["memory"].get("residual", False) or self.tree["memory"]["kind"] == "vector"
        if self.chance(0.3):
            layer["value_dim"] = self.one_of((3, 4, 8), where=square, fits=(layer["head_dim"],))
        for key, values in {
            "conv": (0, 2, 4), "qk_norm": ("l2", "none"), "activation": ("silu", "none"), "output_norm": ("rms", "layer", "none"),
            "output_gate": (True, False),
        }.items():  # fmt: skip
            if self.chance(0.4):
                layer[key] = self.one_of(values)
        self.tree["layer"] = layer

    def gates(self) -> None:
        retention, optimizer, bias = self.tree["retention"], self.tree["optimizer"]["kind"], self.tree["attentional_bias"]
        names = ["eta", *self.loss_gates]
        if retention["kind"] not in ("none", "f_divergence"):
            names += ["alpha", "alpha_value"] if retention.get("value_decay") else ["alpha"]
        names += ["mu"] if optimizer in ("momentum", "nesterov", "muon") else []
        names += ["alpha_d", "eta_d"] if optimizer == "preconditioned" else []
        names += ["gamma"] if bias.get("window") is not None else []
        if self.chance(0.03):
            names.append("spare")
        if self.chance(0.03):
            names.pop()
        self.tree["gates"] = {name: self.gate(name) for name in names}

    def gate(self, name: str) -> Tree:
        per = self.one_of(PER, fits=self.fitting_per(name))
        gate: Tree = {"per": per, "source": self.one_of(("input", "learned", "constant"))}
        if self.chance(0.3):
            gate["low_rank"] = self.one_of((None, 2, 8))
        if self.chance(0.4):
            letter = GATE_LETTERS.get(name)
            inits = (0.25, 0.5, 0.9) if letter is None or letter.high == 1 else (0.1, 0.5, 1.5)
            gate["init"] = self.one_of((*inits, 1.0, 0.0) if self.chance(0.1) else inits)
            if self.chance(0.2):
                gate["init"] = [self.one_of(inits) for _ in range(self.tree["layer"]["heads"])]
        return gate

    def fitting_per(self, name: str) -> Sequence[str]:
        """The granularities that a gate of this name may have."""
        memory, retention, bias = self.tree["memory"]["kind"], self.tree["retention"], self.tree["attentional_bias"]["kind"]
        per_row = name in self.loss_gates and bias in ("huber_norm", "yaad_switch")
        if memory in ("mlp", "swiglu") or name in ("mu", "gamma") or per_row or self.tree["optimizer"]["kind"] == "implicit":
            return ("head",)
        excluded = set()
        if name in self.loss_gates or self.tree.get("feature_map", {}).get("kind") == "polynomial":
            excluded.add("key_channel")
        if name in ("alpha_d", "eta_d"):
            excluded.add("value_channel")
        if name == "alpha_value":
            return ("value_channel",)
        if name == "alpha" and retention["kind"] == "kl":
            excluded |= {"input": {"key_channel"}, "output": {"value_channel"}, "all": {"key_channel", "value_channel"}}[retention["slice"]]
        if name == "alpha" and retention.get("value_decay"):
            excluded.add("value_channel")
        return ("head",) * 3 + tuple(per for per in PER if per not in excluded)


def random_spec(random: Random) -> Tree:
    """The tree of a spec, valid or not."""
    return _Draw(random).spec()
