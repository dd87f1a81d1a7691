"""The pipeline as a whole: no torch, nothing ambient, the same result each time, and operators that run where they are loaded."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from kit.paths import ROOT, SPECS
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.errors import SpecError
from miras_compiler.ir.show import show
from miras_compiler.ir.verify import verify_program
from miras_compiler.spec import Spec, digest, load_spec
from miras_compiler.store import is_current
from miras_compiler.verify.inputs import InputShape, draw_inputs
from miras_compiler.verify.literal import LiteralModel

ONE_OF_EACH_FORM = ("titans_lmm", "memora", "gated_delta_net")
QUICK = ("memora", "gated_delta_net")


@cache
def compiled(name: str) -> Compilation:
    """A shipped spec; a chunk of 16 ends inside the sequences of these tests."""
    return compile_spec(load_spec(SPECS / f"{name}.yaml", {"chunk.size": 16}))


@pytest.mark.slow
def test_compiling_imports_no_torch_and_reads_nothing_ambient(tmp_path: Path) -> None:
    """Another process, with torch not to be found, in another folder."""
    script = f"""
import sys
sys.modules["torch"] = None
from miras_compiler.compiler import Compilation, compile_spec
from miras_compiler.spec import digest, load_spec
for name in {QUICK}:
    compile_spec(load_spec("{SPECS}/" + name + ".yaml", {{"chunk.size": 16}})).write("{tmp_path}")
assert not [name for name in sys.modules if name.startswith(("torch.", "triton", "transformers"))]
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)
    for name in QUICK:
        assert is_current(tmp_path / name, compiled(name).files)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_FORM)
def test_two_compilations_are_equal(name: str) -> None:
    first, again = compiled(name), compile_spec(load_spec(SPECS / f"{name}.yaml", {"chunk.size": 16}))
    assert first.files == again.files
    assert show(first.program) == show(again.program)
    assert show(first.adjoint) == show(again.adjoint)
    assert (first.cost, first.parallel_form) == (again.cost, again.parallel_form)


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_folder_nor_on_how_the_specs_path_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    name = "gated_delta_net.yaml"
    files = [compile_spec(load_spec(path)).files for path in (f"specs/{name}", f"./specs/../specs/{name}", SPECS / name)]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes((SPECS / name).read_bytes())
    files.append(compile_spec(load_spec(name)).files)
    assert all(each == files[0] for each in files)


@pytest.mark.slow
def test_a_spec_built_in_python_compiles_as_one_from_a_file() -> None:
    """But for the lines that its reasons name: it has none."""
    written = load_spec(SPECS / "gated_delta_net.yaml")
    built = Spec.model_validate(written.model_dump(by_alias=True))
    first, second = ({file.path: file.text for file in compile_spec(spec).files} for spec in (written, built))
    assert first.keys() == second.keys()
    assert first["recurrent.py"] == second["recurrent.py"]
    assert "attentional_bias l2, attentional_bias" in second["derivation.md"]


def test_a_spec_that_is_wrong_is_refused_before_anything_is_derived() -> None:
    wrong = Spec.unchecked(load_spec(SPECS / "gated_delta_net.yaml").model_dump(by_alias=True) | {"gates": {}})
    with pytest.raises(SpecError, match="eta"):
        compile_spec(wrong)


@pytest.mark.parametrize("name", ONE_OF_EACH_FORM)
def test_a_compilation_holds_every_value_of_the_way(name: str) -> None:
    compilation = compiled(name)
    assert compilation.update_rule.frame.digest == digest(compilation.spec)
    assert compilation.graph.graph["form"] == compilation.parallel_form.kind
    for program in (compilation.program, compilation.adjoint, compilation.update_rule.step.program):
        assert verify_program(program) is program
    paths = [file.path for file in compilation.files]
    assert paths == sorted(set(paths))
    assert all(file.text.endswith("\n") and not file.text.endswith("\n\n") and "\r" not in file.text for file in compilation.files)
    told = compilation.explain()
    for part in (compilation.update_rule.text(), compilation.parallel_form.reason, name, "β_t = Π_{l=1..t} α_l"):
        assert part in told


@pytest.mark.parametrize("name", ONE_OF_EACH_FORM)
def test_loaded_operators_compute_the_literal_model(name: str) -> None:
    operators = compiled(name).load()
    fields = compiled(name).spec.model_dump(by_alias=True)
    fields["memory"] |= {"expansion": 2} if "expansion" in fields["memory"] else {}
    given = draw_inputs(fields, InputShape(2, 6, 2, 4, 4), seed=3, eta=0.3, position=13)
    expected, final, _ = LiteralModel(fields)(given.q, given.k, given.v, given.gates, given.parameters, given.state)
    for operator in ("chunk", "fused_recurrent", "naive_recurrent"):
        call = getattr(operators, f"{operator}_{name}")
        o, state = call(
            given.q, given.k, given.v, **given.gates, **given.parameters, initial_state=dict(given.state), output_final_state=True
        )
        torch.testing.assert_close(o, expected, rtol=1e-9, atol=1e-9)
        assert set(state) == set(final)
        for entry, x in final.items():
            torch.testing.assert_close(state[entry], x, rtol=1e-9, atol=1e-9)
        assert call(given.q, given.k, given.v, **given.gates, **given.parameters, initial_state=dict(given.state))[1] is None


def test_a_package_that_is_loaded_has_operators_and_layer_and_imports_its_own_files() -> None:
    installed = sys.modules.get("gated_delta_net")
    loaded = compiled("gated_delta_net").load()
    assert compiled("gated_delta_net").load() is loaded
    assert {"chunk_gated_delta_net", "fused_recurrent_gated_delta_net", "naive_recurrent_gated_delta_net"} < set(loaded.__all__)
    layer = loaded.GatedDeltaNetLayer(16, heads=2, head_dim=8)
    assert layer(torch.zeros(1, 3, 16))[0].shape == (1, 3, 16)
    assert importlib.import_module(f"{loaded.__name__}.chunked").torch_chunk_gated_delta_net is not None
    assert sys.modules.get("gated_delta_net") is installed


@pytest.mark.slow
def test_loading_leaves_no_folder_behind(tmp_path: Path) -> None:
    """Another process, whose temporary files go to a folder of their own; a forked child that ends takes nothing from its parent."""
    script = f"""
import os, sys
from miras_compiler import compile_spec, load_spec
ops = compile_spec(load_spec("{SPECS}/gated_delta_net.yaml")).load()
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
assert os.path.exists(ops.__file__)
"""
    path = {**os.environ, "TMPDIR": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path.parent / "triton")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_two_packages_of_one_name_stand_beside_each_other() -> None:
    first = compiled("gated_delta_net").load()
    scaled = load_spec(SPECS / "gated_delta_net.yaml", {"attentional_bias": {"kind": "l2", "scale": 0.5}})
    second = compile_spec(scaled).load()
    k = torch.nn.functional.normalize(torch.ones(1, 3, 1, 4), dim=-1)
    gates = {"log_alpha": torch.zeros(1, 3, 1), "eta": torch.ones(1, 3, 1)}
    o, half = (each.chunk_gated_delta_net(k, k, k, **gates)[0] for each in (first, second))
    torch.testing.assert_close(o[:, :1], k[:, :1])
    torch.testing.assert_close(half[:, :1], k[:, :1] / 2)
