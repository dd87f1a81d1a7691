"""`miras compare`: the page shows the values of the stages, marks the differences, and loads nothing."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from miras_compiler import compile_spec, load_spec
from miras_compiler.cli import main
from miras_compiler.compare import Compared, page, read_subjects
from miras_compiler.compare.alignment import merged
from miras_compiler.compare.equations import rule_rows, tile_rows
from miras_compiler.compare.fields import differing_fields
from miras_compiler.compare.graphs import graph_pictures
from miras_compiler.compare.links import node_keys, spec_lines
from miras_compiler.compare.plot import Axis, PlotLine, plot
from miras_compiler.compare.quality import MOST_POINTS, thinned
from miras_compiler.compare.terms import Term, terms_of
from miras_compiler.derive.dialects import LATEX
from miras_compiler.errors import InputError
from miras_compiler.records import Origin, Record, Result
from miras_compiler.spec import Spec
from miras_compiler.store import write_file

NAMES = ("delta_net", "huber_delta", "momentum_huber")
TABS = ("summary", "choices", "rule", "graph", "form", "code", "cost", "measured", "stability")
LARGEST = 3 * 10**6  # bytes of a page


@pytest.fixture(scope="module")
def subjects() -> list[Compared]:
    return read_subjects([Path(name) for name in NAMES])[0]


@pytest.fixture(scope="module")
def text(subjects: list[Compared], tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(subjects, [], tmp_path_factory.mktemp("results"))


def section(text: str, name: str) -> str:
    return text[text.index(f'<section id="{name}"') :].partition("</section>")[0]


def rows(part: str) -> dict[str, tuple[bool, list[str]]]:
    """The rows of a table by their first cell: whether they are marked, and the other cells."""
    found = {}
    for mark, row in re.findall(r"<tr(?: class=\"([^\"]*)\")?>(.*?)</tr>", part, re.DOTALL):
        cells = [html.unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)]
        found[cells[0]] = (mark == "row-differs", cells[1:])
    return found


def code(text: str) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The files in the page: its index, and the texts."""
    found = {}
    scripts = {name: (kind, data) for kind, name, data in re.findall(r'<script type="application/(.*?)" id="(.*?)">(.*?)</script>', text)}
    for number, file in enumerate(json.loads(scripts["index"][1])["files"]):
        kind, data = scripts[f"code-{number}"]
        found[file["path"]] = (file, json.loads(gzip.decompress(base64.b64decode(data)) if kind == "octet-stream" else data))
    return found


def plain(lines: list[str]) -> str:
    return "\n".join(html.unescape(re.sub("<[^>]*>", "", line)) for line in lines)


@pytest.mark.slow
def test_every_part_has_a_tab_and_every_spec_its_name_in_it(text: str) -> None:
    for name in TABS:
        assert f'aria-controls="{name}"' in text
        assert all(subject in section(text, name) for subject in NAMES if name != "code"), name
    assert "arXiv" in section(text, "summary")


def test_the_page_loads_nothing(text: str) -> None:
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|@import|<link|<img|<iframe| src=|fetch\(|XMLHttpRequest", text)
    assert len(text.encode()) < LARGEST


def test_choices_that_differ_are_marked_and_no_others(text: str, subjects: list[Compared]) -> None:
    table = rows(section(text, "choices"))
    marked = {key for key, (differs, _) in table.items() if differs}
    assert marked == {field.key for field in differing_fields([subject.compilation.spec for subject in subjects])}
    assert {"attentional_bias.kind", "optimizer.kind", "gates.delta.init"} <= marked
    assert table["attentional_bias.kind"][1] == ["l2", "huber", "huber"]
    assert not {"memory.kind", "layer.heads", "gates.mu.source"} & marked
    assert table["memory.kind"] == (False, ["matrix"] * 3)


@pytest.mark.parametrize("name", ["yaad", "atlas", "softmax_delta", "moneta_mirror", "lact", "sparse_memory"])
def test_the_terms_of_an_equation_are_all_of_it(name: str) -> None:
    rule = compile_spec(load_spec(name)).update_rule
    for equation in rule.equations(LATEX):
        terms = terms_of(equation.right)
        joined = "".join(f" {sign} {latex}" for sign, latex in terms).removeprefix(" + ")
        assert joined.replace(" ", "") == equation.right.replace(" ", "")
        for _, latex in terms:
            assert latex.count("{") == latex.count("}")
            assert latex.count("(") == latex.count(")")


def test_terms_are_cut_outside_of_brackets_only() -> None:
    assert terms_of(r"\alpha\, W - \eta\, (a + b)") == [Term("+", r"\alpha\, W"), Term("-", r"\eta\, (a + b)")]
    assert terms_of(r"- \sum_{j} v - 2") == [Term("-", r"\sum_{j} v"), Term("-", "2")]
    assert terms_of(r"\begin{cases} x + 1 & \text{if } x - 1 \\ y & \text{else} \end{cases} + z")[1:] == [Term("+", "z")]
    assert terms_of("-60") == [Term("+", "-60")]


def test_terms_that_not_every_spec_has_are_marked(subjects: list[Compared]) -> None:
    table = rule_rows([subjects[1].compilation, subjects[2].compilation])
    cells = [row.cells for row in table if row.differs and all(cell and cell.node == "W" for cell in row.cells)]
    ((plain_step, momentum),) = cells
    assert plain_step is not None
    assert momentum is not None
    assert [each.math.count('class="differs"') for each in (plain_step, momentum)] == [1, 1]  # −η kᵀ ⊗ ∂ℓ/∂u, and S; the decay is shared
    for row in table:
        if not row.differs:
            assert not any('class="differs"' in cell.math for cell in row.cells if cell)


@pytest.mark.parametrize("name", ["yaad", "atlas", "kl_delta", "memora", "lact", "vector_huber", "omega_huber"])
def test_equations_are_mathml_without_a_word_of_latex(name: str) -> None:
    compilation = compile_spec(load_spec(name))
    table = rule_rows([compilation]) + tile_rows([compilation])
    for row in table:
        for cell in row.cells:
            assert cell is not None
            assert not row.differs
            root = ElementTree.fromstring(cell.math)
            assert root.tag == "math"
            assert "\\" not in "".join(root.itertext())
            assert "xmlns" not in cell.math


@pytest.mark.parametrize("name", ["atlas", "chi_square_memory", "comba", "lact", "memora", "omega_huber", "titans_exact"])
def test_every_equation_is_tied_to_a_key_of_its_spec(name: str) -> None:
    compilation = compile_spec(load_spec(name))
    keys = {*Spec.model_fields, *(f"gates.{gate}" for gate in compilation.spec.gates)}
    for row in rule_rows([compilation]) + tile_rows([compilation]):
        (cell,) = row.cells
        assert cell is not None
        assert cell.keys or row.title == "unrolled over a chunk", cell.math
        assert set(cell.keys) <= keys


def test_values_of_a_graph_are_marked_where_their_equations_differ(subjects: list[Compared]) -> None:
    made = [subject.compilation for subject in subjects]
    texts = [{node["id"]: node["text"] for node in json.loads(subject.files["graph.json"])["nodes"]} for subject in subjects]
    for picture, mine in zip(graph_pictures(made), texts, strict=True):
        expected = {node for node, equation in mine.items() if any(other.get(node) != equation for other in texts)}
        assert set(picture.differing) == expected != set()
        drawn = dict(re.findall(r'<g class="(node[^"]*)"[^>]*data-node="([^" ]+)"', picture.expanded)[::-1])
        assert drawn
        for mark, node in re.findall(r'<g class="(node[^"]*)"[^>]*data-node="([^" ]+)"', picture.expanded):
            assert ("differs" in mark) == (node in expected), node
        assert ' id="' not in picture.boxed + picture.expanded  # several pictures on a page


def test_a_spec_line_its_equations_values_and_code_have_one_key(text: str, subjects: list[Compared]) -> None:
    lines = spec_lines(subjects[2].text)
    keys = node_keys(subjects[2].compilation.spec, subjects[2].compilation.graph)
    (optimizer,) = [line for line in lines if line.text.startswith("optimizer")]
    (eta,) = [line for line in lines if line.text.strip().startswith("eta:")]
    assert (optimizer.keys, eta.keys) == (("optimizer",), ("gates.eta",))
    assert set(keys["S"]) == {"optimizer", "gates.eta", "gates.mu"}
    (cell,) = [row.cells[0] for row in rule_rows([subjects[2].compilation]) if row.cells[0] and row.cells[0].node == "S"]
    assert set(cell.keys) == set(keys["S"])
    assert re.search(r'class="node[^"]*"[^>]*data-node="S" data-keys="[^"]*optimizer', section(text, "graph"))
    file, variants = code(text)["recurrent.py"]
    variant = variants[file["of"][2]]
    tied = {variant["lines"][line] for line, node, _ in variant["ties"] if node == "S"}
    assert tied
    assert all(plain([line]).lstrip().startswith("S = ") for line in tied)


def test_a_spec_of_one_line_a_key_and_a_spec_of_blocks_have_the_same_keys() -> None:
    blocks = "name: x\nmemory:\n  kind: mlp\n\n  # a word\n  layers: 2\ngates:\n  alpha:\n    init: 0.9\n  eta: {}\n"
    assert [line.keys for line in spec_lines(blocks)] == [
        ("name",), ("memory",), ("memory",), (), (), ("memory",), ("gates",), ("gates.alpha",), ("gates.alpha",), ("gates.eta",)
    ]  # fmt: skip
    assert set(spec_lines("name: x\ngates: {alpha: {}, eta: {}}\n")[1].keys) == {"gates", "gates.alpha", "gates.eta"}


def test_every_file_of_every_package_is_in_the_page_and_none_twice(text: str, subjects: list[Compared]) -> None:
    files = code(text)
    for index, subject in enumerate(subjects):
        for path, written in subject.files.items():
            if not path.endswith(".svg"):
                file, variants = files[path]
                assert plain(variants[file["of"][index]]["lines"]) == written.removesuffix("\n"), path
    for path, (file, variants) in files.items():
        assert file["shared"] == path.startswith("runtime_")
        assert len({json.dumps(variant["lines"]) for variant in variants}) == len(variants)
        assert not path.startswith("runtime_") or len(variants) == 1


def test_words_of_a_spec_are_words_on_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    written = Path("specs/delta_net.yaml").read_text().replace('"DeltaNet', f'"{evil} DeltaNet')
    assert evil in written
    (subject, other), _ = read_subjects([write_file(tmp_path / "evil.yaml", written), Path("huber_delta")])
    assert "<script>alert" not in page([subject, other], [])


def test_costs_are_those_of_the_compilations(text: str, subjects: list[Compared]) -> None:
    table = rows(section(text, "cost"))
    for line in subjects[0].compilation.cost:
        said = re.split(r" +", table[f"{line.what} {line.unit}"][1][0])[0].replace(",", "")
        assert float(said) == line.value
    assert "A100" in section(text, "cost")
    assert section(text, "cost").count('class="plot"') == 6


def test_forms_come_with_their_reasons_and_stability_with_its_sentences(text: str, subjects: list[Compared]) -> None:
    for subject in subjects:
        assert html.escape(subject.compilation.parallel_form.reason, quote=False) in section(text, "form").replace("&#39;", "'")
        assert all(html.escape(line) in section(text, "stability") for line in subject.compilation.stability())


def test_only_results_of_this_digest_are_used_and_others_are_named(subjects: list[Compared], tmp_path: Path) -> None:
    delta = subjects[0]

    def speed(name: str, label: str, digest: str, ms: float) -> Result:
        about = {"label": f"{name} {label}", "contender": "kernels", "tokens": 32768}
        return Result("forward", name, digest, ms, unit="ms", about=about)

    results = [
        speed("delta_net", "D64 chunk 64", delta.digest, 11.5),
        speed("delta_net", "D64 chunk 64", "000000000000", 22.5),
        speed("delta_net", f"D64 chunk {delta.compilation.spec.chunk.size}", "", 33.5),
        speed("delta_net", "D128 chunk 64", "", 44.5),
        speed("delta_network", "D64 chunk 64", "", 55.5),
    ]
    origin = Origin("miras bench", "NVIDIA H100", {}, 0)
    write_file(tmp_path / "a.json", Record(origin, results).text())
    write_file(tmp_path / "b.json", Record(origin, [Result("drift", "huber_delta", "111111111111", 1.0)]).text())
    write_file(tmp_path / "c.json", "{")
    part = section(page(subjects, [], tmp_path), "measured")
    assert "11.5 ms" in part
    assert "33.5 ms" in part
    assert part.count("names no digest") == 1
    assert not re.search(r"22\.5|44\.5|55\.5", part)
    assert f"a row of delta_net is of the digest 000000000000, and delta_net has {delta.digest}: not used" in part
    assert "a row of huber_delta is of the digest 111111111111" in part
    assert "c.json: holds no results" in part
    with pytest.raises(InputError, match=r"c\.json: holds no results"):
        page(subjects, [], tmp_path / "c.json")


def test_of_several_results_of_a_check_the_worst_is_shown(subjects: list[Compared], tmp_path: Path) -> None:
    delta = subjects[0]
    about = {"dtype": "float32"}
    results = [Result("calm", "delta_net", delta.digest, error, 1e-5, about=about) for error in (1e-6, 2e-5)]
    write_file(tmp_path / "a.json", Record(Origin("miras bench", "NVIDIA H100", {}, 0), results).text())
    part = section(page(subjects, [], tmp_path), "measured")
    assert "calm, float32" in part
    assert "2e-05" in part
    assert "the worst of 2 rows" in part


def test_orders_are_merged_without_losing_or_repeating() -> None:
    assert merged([["a", "b", "d"], ["a", "c", "d"]]) == ["a", "b", "c", "d"]
    assert sorted(merged([["a", "b"], ["b", "a"], ["c"]])) == ["a", "b", "c"]
    assert merged([[], ["x", "y"]]) == ["x", "y"]


@pytest.mark.slow
def test_the_command_prints_what_differs_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "delta_net", "huber_delta", "-o", str(tmp_path / "page.html")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert any(line.startswith("≠  attentional bias") and line.split()[-2:] == ["l2", "huber"] for line in told)
    assert any(line.startswith("   memory ") for line in told)
    assert told[-1] == f"wrote {tmp_path / 'page.html'}"
    assert main(["compare", "delta_net", "huber_delta", "--json", "-o", str(tmp_path / "page.html")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in said["specs"]] == ["delta_net", "huber_delta"]
    assert {row["what"]: row["differs"] for row in said["summary"]}["attentional bias"] is True


def test_a_spec_that_is_wrong_is_said_on_the_page_and_the_others_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write_file(tmp_path / "bad.yaml", "name: bad\nmemory: {kind: matrx}\nattentional_bias: {kind: l2}\ngates: {eta: {}}\n")
    assert main(["compare", "delta_net", str(bad), "huber_delta", "-o", str(tmp_path / "page.html")]) == 2
    told = capsys.readouterr()
    assert "did you mean 'matrix'?" in told.err
    assert "wrote " in told.out
    part = section((tmp_path / "page.html").read_text(), "summary")
    assert html.escape("did you mean 'matrix'?").replace("&#x27;", "&#39;") in part
    assert "delta_net" in part
    assert "huber_delta" in part


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["delta_net"], "1 to compare; name 2 to 8 specs, packages or runs"),
        (["delta_net"] * 9, "9 to compare; name 2 to 8"),
        (["delta_net", "huber_delta", "-o", "page.yaml"], "page.yaml: the page is HTML; name a file that ends in .html"),
        (["delta_nett", "nothing.yaml"], "did you mean 'delta_net'?"),
        (["specs", "docs"], "specs: is neither a package (no manifest.json) nor a run (no run.json)"),
        (["delta_net", "huber_delta", "--results", "nowhere"], "nowhere: there are no results"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_written(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "specs"]


@pytest.mark.slow
def test_a_package_is_shown_as_it_lies_there_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    folder = compile_spec(load_spec("delta_net")).write(tmp_path)
    (folder / "ops.py").write_text("changed = 1  # by hand\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    write_file(folder / "manifest.json", json.dumps({**manifest, "digest": "aaaaaaaaaaaa"}))
    report = Record(Origin("miras verify", "cpu", {}, 0), [Result("a", "delta_net", "bbbbbbbbbbbb")])
    write_file(folder / "verification.json", report.text())
    (subject, other), unread = read_subjects([folder, Path("delta_net")])
    assert not unread
    assert subject.files["ops.py"] == "changed = 1  # by hand\n"
    assert subject.label == f"delta_net ({folder})"
    assert other.label == "delta_net (delta_net)"
    assert any("names the digest aaaaaaaaaaaa" in remark for remark in subject.remarks)
    assert any("is of the digest bbbbbbbbbbbb, and is not used" in remark for remark in subject.remarks)
    assert subject.checks == ()
    assert page([subject, other], []).count("changed = ") == 1
    (folder / "spec.yaml").unlink()
    _, (lost,) = read_subjects([folder])
    assert "the package has no spec.yaml" in lost.problems[0]


@pytest.mark.slow
def test_a_run_brings_its_learning_curve_and_its_scores(tmp_path: Path) -> None:
    run = tmp_path / "first"
    package = compile_spec(load_spec("delta_net")).write(tmp_path)
    shutil.copytree(package, run / "package")
    write_file(run / "run.json", json.dumps({"command": "miras train …", "seed": 7}))
    write_file(run / "metrics.jsonl", '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 2.5}\n{"step": 3, "lo')
    write_file(run / "eval.json", json.dumps({"bits_per_byte": 1.75, "recall": {"64": 0.9, "256": 0.5}, "note": "x"}))
    (subject, other), _ = read_subjects([run, Path("huber_delta")])
    assert subject.label == "first"
    assert subject.run is not None
    assert subject.run.learning("loss") == ((1.0, 3.5), (2.0, 2.5))
    assert subject.run.scores == {"bits_per_byte": 1.75}
    assert subject.run.curves == {"recall": ((64.0, 0.9), (256.0, 0.5))}
    assert any("metrics.jsonl:3: is not a JSON object" in remark for remark in subject.run.remarks)
    part = section(page([subject, other], []), "quality")
    assert "1.75" in part
    assert part.count('class="plot"') == 2
    assert thinned([(float(step), 0.0) for step in range(10**5)])[-1] == (99999.0, 0.0)
    assert len(thinned([(float(step), 0.0) for step in range(10**5)])) <= MOST_POINTS + 1
    shutil.rmtree(run / "package")
    _, (lost,) = read_subjects([run])
    assert "has a run.json, but no package/manifest.json" in lost.problems[0]


def test_results_that_are_not_there_are_wrong_input(subjects: list[Compared], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no results"):
        page(subjects, [], tmp_path / "nothing")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(5.1679, 5.1818), (128, 512), (128, 2048), (400, 410), (3e17, 3e17), (1e-9, 1e9), (16, 16)])
def test_an_axis_has_numbers_that_differ_wherever_its_points_lie(low: float, high: float, log: bool) -> None:
    picture = plot("t", Axis("x", log), Axis("y", log, share=True), [PlotLine("a", [(low, low), (high, high)], 0)])
    for anchor in ("middle", "end"):
        numbers = re.findall(rf'text-anchor="{anchor}">([^<]*\d[^<]*)<', picture)
        assert len(set(numbers)) == len(numbers) >= (1 if low == high else 2)
