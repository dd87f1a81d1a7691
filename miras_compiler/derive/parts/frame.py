"""The frame of a rule: everything that a package takes of a spec and that is no choice of the rule."""

from __future__ import annotations

from dataclasses import dataclass

from miras_compiler.spec import Spec, digest, normalized_yaml
from miras_compiler.spec.layer import Layer
from miras_compiler.spec.ledger import LedgerEntry
from miras_compiler.spec.model import Model
from miras_compiler.spec.source import Source, place_of


@dataclass(frozen=True)
class Frame:
    """Names for headers and messages, widths, the layer around the memory and the model around that.

    `key_dim` is K, `feature_dim` the width of φ(k), `value_dim` V, `hidden_dim` N, which is 0 where a memory has none. `model_heads` are
    the heads of keys of a memory in a model. `normal_form` is the spec with every default written out, and `digest` that of this text.
    """

    name: str
    paper: str
    ledger: tuple[LedgerEntry, ...]
    source: Source | None
    key_dim: int
    feature_dim: int
    value_dim: int
    hidden_dim: int
    layer: Layer
    model: Model
    model_heads: int
    normal_form: str
    digest: str

    @property
    def location(self) -> str:
        """The spec's file, as it was named to us; "" for one that was built in Python."""
        return self.source.place if self.source else ""

    def where(self, path: str) -> str:
        """ "specs/x.yaml:9" for a dotted key; the key itself for a spec that was built in Python."""
        return place_of(self.source, path)


def frame_of(spec: Spec) -> Frame:
    """The frame of a spec."""
    return Frame(
        name=spec.name,
        paper=spec.paper,
        ledger=spec.ledger,
        source=spec.source,
        key_dim=spec.key_dim,
        feature_dim=spec.feature_dim,
        value_dim=spec.value_dim,
        hidden_dim=spec.hidden_dim,
        layer=spec.layer,
        model=spec.model,
        model_heads=spec.model_heads,
        normal_form=normalized_yaml(spec),
        digest=digest(spec),
    )
