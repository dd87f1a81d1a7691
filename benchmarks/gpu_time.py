"""Times of the Triton kernels of a package: each kernel under several launch options, then the operator under the best of them."""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
VARIANTS = (
    (4, 1, 64, 255),
    (8, 1, 64, 255),
    (4, 2, 64, 255),
    (4, 1, 64, 168),
    (4, 1, 64, 128),
    (4, 3, 64, 255),
    (8, 1, 64, 168),
    (8, 2, 64, 255),
)


class Subject:
    """A package with inputs of one shape in bfloat16, and a way to run it under launch options."""

    def __init__(self, folder: str, name: str, batch: int, tokens: int, heads: int, key: int, hidden: int, tile: int = 0) -> None:
        sys.path.insert(0, folder)
        self.kernels = importlib.import_module(f"{name}.kernels")
        self.operator = getattr(importlib.import_module(f"{name}.ops"), f"chunk_{name}")
        self.reference = getattr(importlib.import_module(f"{name}.chunked"), f"torch_chunk_{name}")
        manifest = json.loads((Path(folder) / name / "manifest.json").read_text())
        sizes = {"B": batch, "T": tokens, "H": heads, "K": key, "V": key, "N": hidden}
        torch.manual_seed(0)
        self.inputs: dict[str, torch.Tensor] = {}
        for each in manifest["inputs"]:
            shape = [sizes[a] for a in each["axes"]]
            x = torch.randn(shape, device="cuda")
            if each["name"] in ("q", "k"):
                x = x / x.norm(dim=-1, keepdim=True)
            elif each["name"].startswith("log_"):
                x = -0.1 * torch.rand(shape, device="cuda")
            elif each["name"] not in ("v", "ln_bias"):
                x = (0.05 if hidden else 0.5) * torch.rand(shape, device="cuda") + (1.0 if each["name"] in ("ln_weight", "delta") else 0.0)
            token = each["name"] in ("q", "k", "v")
            self.inputs[each["name"]] = (x.bfloat16() if token else x).requires_grad_()
        self.state = {}
        for entry in manifest["state"]:
            if not entry["name"].endswith(("_start", "_momentum")) and entry["name"] != "position":
                shape = [sizes[a] for a in entry["axes"]]
                self.state[entry["name"]] = (torch.randn(shape, device="cuda") * shape[-2] ** -0.5).requires_grad_()
        self.cotangent = torch.randn(batch, tokens, heads, key, device="cuda", dtype=torch.bfloat16)

    def forward(self, operator: Any = None) -> torch.Tensor:
        return (operator or self.operator)(**self.inputs, initial_state=self.state)[0]

    def both(self, operator: Any = None) -> None:
        for x in (*self.inputs.values(), *self.state.values()):
            x.grad = None
        self.forward(operator).backward(self.cotangent)

    def set_options(self, options: dict[str, tuple[int, ...]]) -> None:
        for name, option in options.items():
            self.kernels.OPTIONS[name] = ((1 << 30, *option),)

    def kernel_times(self, repeats: int = 5) -> dict[str, float]:
        """Median milliseconds of every kernel."""
        launch = self.kernels.Launch
        original, events = launch.__call__, {}

        def timed(this: Any, *args: Any) -> None:
            pair = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            pair[0].record()
            original(this, *args)
            pair[1].record()
            events.setdefault(this.name, []).append(pair)

        launch.__call__ = timed
        try:
            for _ in range(repeats + 1):
                self.both()
        finally:
            launch.__call__ = original
        torch.cuda.synchronize()
        return {name: statistics.median(a.elapsed_time(b) for a, b in pairs[1:]) for name, pairs in events.items()}


def median_ms(function: Any, calls: int = 20) -> float:
    """Median over calls that follow each other without waiting, timed by events."""
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(calls)]
    for start, end in events:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def all_kernels(subject: Subject) -> list[str]:
    return [name for name in subject.kernels.OPTIONS if not name.startswith("resume")]


def tune(subject: Subject, variants: list[tuple[int, ...]]) -> dict[str, tuple[float, tuple[int, ...]]]:
    """Per kernel its best time and options."""
    best: dict[str, tuple[float, tuple[int, ...]]] = {}
    for variant in variants:
        subject.set_options(dict.fromkeys(all_kernels(subject), variant))
        try:
            times = subject.kernel_times()
        except Exception as problem:  # a configuration may not fit
            print(f"  {variant}: {type(problem).__name__} {str(problem)[:100]}", flush=True)
            continue
        print(f"  {variant}: " + "  ".join(f"{n} {t:.3f}" for n, t in times.items()) + f"  sum {sum(times.values()):.3f}", flush=True)
        for name, each in times.items():
            if name not in best or each < best[name][0]:
                best[name] = (each, variant)
    return best


def measure(subject: Subject, label: str, torch_forms: bool) -> dict[str, Any]:
    forward = median_ms(lambda: subject.forward())
    with torch.no_grad():
        inference = median_ms(lambda: subject.forward())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    both = median_ms(subject.both)
    row: dict[str, Any] = {
        "label": label,
        "forward": forward,
        "inference": inference,
        "both": both,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }
    if torch_forms:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        row["torch_forward"], row["torch_both"] = (
            median_ms(lambda: subject.forward(subject.reference)),
            median_ms(lambda: subject.both(subject.reference)),
        )
        row["torch_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    print(f"{label}: " + "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else "" for k, v in row.items()), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("cases", nargs="+", help="name:key:hidden")
    parser.add_argument("--shape", default="8,4096,16")
    parser.add_argument("--variants", default="0,1,2,3")
    parser.add_argument("--warm", action="store_true", help="only compile")
    parser.add_argument("--torch", action="store_true", help="also the emitted PyTorch form")
    parser.add_argument("--processes", type=int, default=14)
    parser.add_argument("--limit", type=int, default=240)
    parser.add_argument("--output")
    given = parser.parse_args()
    batch, tokens, heads = map(int, given.shape.split(","))
    variants = [VARIANTS[int(i)] for i in given.variants.split(",") if i]
    if given.warm:
        for case in given.cases:
            name, key, hidden = case.split(":")
            subject = Subject(given.folder, name, 1, 64, heads, int(key), int(hidden))
            if variants:
                subject.set_options(dict.fromkeys(all_kernels(subject), variants[0]))
            subject.both()
            torch.cuda.synchronize()
        return
    began = time.perf_counter()

    def compile_one(job: tuple[str, str]) -> str:
        case, index = job
        command = [sys.executable, __file__, given.folder, case, "--shape", given.shape, "--variants", index, "--warm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=given.limit)
            return (
                f"{case} {VARIANTS[int(index)] if index else 'as shipped'}: {'ok' if done.returncode == 0 else done.stderr.strip()[-200:]}"
            )
        except subprocess.TimeoutExpired:
            return f"{case} {VARIANTS[int(index)] if index else 'as shipped'}: no end within {given.limit} s"

    with ThreadPoolExecutor(given.processes) as pool:
        answers = list(pool.map(compile_one, [(case, i) for case in given.cases for i in given.variants.split(",")]))
    print("\n".join(answers), f"\ncompiled in {time.perf_counter() - began:.0f} s", flush=True)
    ready = [answer.endswith(": ok") for answer in answers]
    rows = []
    for number, case in enumerate(given.cases):
        name, key, hidden = case.split(":")
        if not variants:
            print(case, flush=True)
            subject = Subject(given.folder, name, batch, tokens, heads, int(key), int(hidden))
            print("  " + "  ".join(f"{n} {t:.3f}" for n, t in subject.kernel_times().items()), flush=True)
            rows.append(measure(subject, case, given.torch))
            del subject
            torch.cuda.empty_cache()
            continue
        mine = [v for v, ok in zip(variants, ready[number * len(variants) :], strict=False) if ok]
        if not mine:
            continue
        print(case, flush=True)
        subject = Subject(given.folder, name, batch, tokens, heads, int(key), int(hidden))
        best = tune(subject, mine)
        print("  best: " + "  ".join(f"{n} {t:.3f} {v}" for n, (t, v) in best.items()), flush=True)
        subject.set_options({n: v for n, (_, v) in best.items()})
        rows.append({**measure(subject, case, given.torch), "options": {n: v for n, (_, v) in best.items()}})
        del subject
        torch.cuda.empty_cache()
    if given.output:
        Path(given.output).write_text(json.dumps({"device": torch.cuda.get_device_name(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
