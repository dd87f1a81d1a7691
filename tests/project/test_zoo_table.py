"""The table of the shipped specs holds the compiler's own verdicts. With `--update-generated` it is rewritten, and README's with it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kit.paths import GENERATED, ROOT, SPEC_FILES, SPECS
from miras_compiler.advice import measured
from miras_compiler.cli import main
from miras_compiler.cli.list_specs import specs_markdown
from miras_compiler.spec import Spec, load_spec
from miras_compiler.spec.stability import Sensitivity, rule_digest
from miras_compiler.spec.zoo import FILE, read_zoo

pytestmark = pytest.mark.slow

README = ROOT / "README.md"
SECTION = re.compile(r"(<!-- models: .*? -->\n)(.*?)(<!-- end of the models -->)", re.DOTALL)
MEASURED_AGAIN = (
    "gated_delta_net",
    "delta_product",
    "rwkv7",
    "predictive_delta",
    "hgrn2",
    "omega_huber",
)


@pytest.fixture(scope="module", autouse=True)
def updated(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-generated"):
        FILE.write_text(table_text(), encoding="utf-8")
        read_zoo.cache_clear()
        text = README.read_text(encoding="utf-8")
        README.write_text(SECTION.sub(lambda found: f"{found[1]}{specs_markdown()}\n{found[3]}", text), encoding="utf-8")


def table_text() -> str:
    """zoo.json: a line per spec."""
    lines = (f'"{path.stem}": {json.dumps(facts(load_spec(path)), ensure_ascii=False)}' for path in SPEC_FILES)
    return "{\n" + ",\n".join(lines) + "\n}\n"


def facts(spec: Spec) -> dict[str, Any]:
    """The entry of a spec in the table; a sensitivity is measured where the rule is not the one that was measured."""
    old = read_zoo().get(spec.name)
    rule = rule_digest(spec)
    found = Sensitivity(old.early, old.late) if old is not None and old.rule == rule else measured(spec)
    early, late = (float(f"{x:.2g}") for x in found[:2])
    return quick_facts(spec) | {"rule": rule, "early": early, "late": late}


def quick_facts(spec: Spec) -> dict[str, Any]:
    """The sensitivity in its package, which is held against the compiler elsewhere."""
    manifest = json.loads((GENERATED / spec.name / "manifest.json").read_text(encoding="utf-8"))
    (state,) = (line["value"] for line in manifest["cost"] if line["what"] == "state")
    parts = {part: getattr(spec, part).kind for part in ("memory", "attentional_bias", "retention", "optimizer")}
    form, kernels = manifest["parallel_form"]["kind"], manifest["kernels"]["triton"]
    return {"paper": spec.paper, **parts, "form": form, "kernels": kernels, "state": state}


def test_the_table_holds_every_shipped_spec_as_it_is() -> None:
    assert sorted(read_zoo()) == [path.stem for path in SPEC_FILES]
    for path in SPEC_FILES:
        spec, entry = load_spec(path), read_zoo()[path.stem]
        assert entry.rule == rule_digest(spec), f"{path.stem}: the rule has changed; `make update` measures it again"
        for name, value in quick_facts(spec).items():
            assert getattr(entry, name) == value, f"{path.stem}: {name} is not current; `make update` writes it again"


@pytest.mark.parametrize("name", MEASURED_AGAIN)
def test_a_sensitivity_in_the_table_is_measured_again(name: str) -> None:
    found, entry = measured(load_spec(SPECS / f"{name}.yaml")), read_zoo()[name]
    assert found.early == pytest.approx(entry.early, rel=0.1)
    assert found.late == pytest.approx(entry.late, rel=0.1)


def test_the_readme_holds_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "specs", "--markdown"]) == 0
    found = SECTION.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2] == capsys.readouterr().out, "README's models are not current; `make update` rewrites them"
    assert f"[{len(SPEC_FILES)} models](#models)" in README.read_text(encoding="utf-8")


def test_the_command_lists_every_shipped_spec_with_its_paper_and_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", "specs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line[:1].strip()} >= {path.stem for path in SPEC_FILES}
    assert main(["list", "specs", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert not [name for name, entry in listed.items() if entry["grows"]]
    assert listed["yaad"]["paper"] == "MIRAS, arXiv 2504.13173, eq. 26"


def test_none_of_the_shipped_specs_is_chaotic() -> None:
    assert not [name for name, entry in read_zoo().items() if Sensitivity(entry.early, entry.late).grows]
