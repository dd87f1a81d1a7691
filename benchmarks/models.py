"""Whole language models on one GPU: training, decoding, and the share of the GPU's time that each part takes.

    python benchmarks/models.py train   --model gated_delta_net titans_lmm transformer fla --compile blocks --output OUT/train
    python benchmarks/models.py decode  --model gated_delta_net fla --tokens 128 --output OUT/decode_128
    python benchmarks/models.py profile --model gated_delta_net --output OUT/profile
    python benchmarks/models.py table OUT/*.json > benchmarks/results/DATE_GPU_models.txt

A model is a spec at a preset (340m), or `fla`: Gated DeltaNet of flash-linear-attention with the sizes of ours. Every model is drawn anew
from one seed, and tokens are random: nothing depends on their values. A result enters OUTPUT.json as soon as it is there.

train     tokens a second of forward pass, backward pass and optimizer step, as `miras train` does them: products in bfloat16 under
          autocast, parameters in float32, gradients cut at norm 1, fused AdamW. The batch is halved until it fits.
decode    tokens a second of a greedy `generate` in bfloat16, milliseconds of a token behind the prompt, and of the prompt. A figure counts
          only if the logits of single tokens with the cache are those of the whole sequence, and farther from them without it; and if
          steps that are recorded as a CUDA graph give the logits of launched ones.
profile   forward and backward pass by kernels: matrix products, the operator (or attention), and all else, which is the model's code; and
          the share of a step, optimizer included, in which the GPU is busy.

`--compile blocks` compiles block by block, as `miras train --compile` does, `whole` all at once. `--launch` keeps `generate` from
recording.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from measured_models import FLA, SIZES_OF, Setting, Subject, cache_of, compile_model, jit_functions, open_model, random_tokens
from torch import Tensor

from miras_compiler.records import Record, Result, cpu, origin_here, read_record
from miras_compiler.store import write_file

PRODUCTS = re.compile(r"gemm|cutlass|nvjet|xmma|cublas|splitK|wgmma|gemv|dot_kernel", re.IGNORECASE)
ATTENTION = re.compile(r"flash|fmha|attention|sdpa|mha_", re.IGNORECASE)
STATEFUL, STATELESS = 0.1, 4.0  # the largest error of logits with a cache, and how many times as large it is at least without one


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(run: Callable[[], object], times: int, device: torch.device) -> list[float]:
    """The time of each of so many runs that follow one another without a wait; on a GPU between its own marks."""
    wait(device)
    if device.type != "cuda":
        marks = [time.perf_counter()]
        for _ in range(times):
            run()
            marks.append(time.perf_counter())
        return [1e3 * (end - start) for start, end in itertools.pairwise(marks)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    events[0].record()
    for event in events[1:]:
        run()
        event.record()
    wait(device)
    return [start.elapsed_time(end) for start, end in itertools.pairwise(events)]


class Trainer:
    """The step of training that `miras train` makes."""

    def __init__(self, subject: Subject, ids: Tensor) -> None:
        self.model, self.ids, device = subject.model, ids, subject.model.device
        self.device = device.type
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-4, (0.9, 0.95), weight_decay=0.1, fused=True)

    def both(self) -> None:
        """Forward and backward pass."""
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.model(self.ids, labels=self.ids, use_cache=False).loss
        loss.backward()

    def step(self) -> None:
        self.both()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def fitting(subject: Subject, setting: Setting) -> tuple[Trainer, int]:
    """A trainer that has made two steps, and the largest batch that it can make: that of the setting, halved until it fits."""
    batch = setting.batch
    while True:
        compile_model(subject.model, setting.compile)
        trainer = Trainer(subject, random_tokens(subject, batch, setting.length))
        try:
            for _ in range(2):
                trainer.step()
            return trainer, batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        subject.model.zero_grad(set_to_none=True)
        del trainer
        gc.collect()
        torch.cuda.empty_cache()
        torch.compiler.reset()  # another batch would make its length a variable
        batch //= 2


def train(name: str, setting: Setting) -> Iterator[Result]:
    subject = open_model(name, setting, training=True)
    facts = subject.facts()
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer, batch = fitting(subject, setting)
    times = milliseconds(trainer.step, setting.steps, setting.device)
    middle = statistics.median(times)
    about = {**facts, "batch": batch, "length": setting.length, "steps": setting.steps, "milliseconds": middle, "slowest": max(times)}
    if setting.device.type == "cuda":
        about["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    yield Result("train", setting.name(name), subject.digest, 1e3 * batch * setting.length / middle, unit="tokens/s", about=about)


@torch.no_grad()
def cache_errors(subject: Subject, ids: Tensor, last: int = 8) -> tuple[float, float]:
    """Errors of the logits of the last tokens, one by one, against those of the whole: with the cache of all before, and without."""
    model = subject.model
    whole = model(ids, use_cache=False, logits_to_keep=last).logits
    cache, kept, alone = cache_of(model(ids[:, :-last], use_cache=True)), [], []
    for token in ids[:, -last:].split(1, 1):
        output = model(token, use_cache=True, past_key_values=cache)
        cache = cache_of(output)
        kept.append(output.logits[:, -1:])
        alone.append(model(token, use_cache=False).logits[:, -1:])
    return distance(torch.cat(kept, 1), whole), distance(torch.cat(alone, 1), whole)


def distance(x: Tensor, reference: Tensor) -> float:
    """The root mean square of the difference over that of the reference."""
    return float((x.float() - reference.float()).square().mean().sqrt() / reference.float().square().mean().sqrt())


def generated(model: Any, ids: Tensor, new: int, **options: Any) -> Any:
    """Exactly so many tokens behind a prompt, greedily."""
    numbers = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    return model.generate(ids, attention_mask=torch.ones_like(ids), **numbers, **options)


def recording_error(subject: Subject, ids: Tensor, new: int = 16) -> float:
    """The error of the logits of steps that are recorded, against those of launched ones."""
    found = []
    for subject.model.records_steps in (False, True):
        found.append(torch.stack(generated(subject.model, ids, new, output_logits=True, return_dict_in_generate=True).logits))
    return distance(found[1], found[0])


def decode(name: str, setting: Setting) -> Iterator[Result]:
    subject = open_model(name, setting, training=False)
    model, ids = subject.model, random_tokens(subject, setting.batch, setting.tokens)
    kept, alone = cache_errors(subject, random_tokens(subject, 2, 72))
    about = {**subject.facts(), "batch": setting.batch, "prompt": setting.tokens, "new": setting.new, "error": kept, "without_cache": alone}
    compile_model(model, setting.compile)
    if name != FLA and setting.recorded:
        about["recording_error"] = recording_error(subject, ids)

    @torch.no_grad()
    def prefill() -> None:
        model(ids, use_cache=True, logits_to_keep=1)

    generated(model, ids, setting.new)  # compiles everything
    prompt = statistics.median(milliseconds(prefill, setting.steps, setting.device))
    runs = milliseconds(lambda: generated(model, ids, setting.new), max(1, setting.steps // 3), setting.device)
    whole = about["milliseconds"] = statistics.median(runs)
    counts = kept <= STATEFUL and alone >= STATELESS * kept and about.get("recording_error", 0.0) <= STATEFUL
    facts: dict[str, Any] = {"passed": None if counts else False, "about": about}
    facts["note"] = "" if counts else "does not count: the logits of single tokens are not those of the whole sequence"
    measured = {
        "decode": (1e3 * setting.batch * setting.new / whole, "tokens/s"),
        "step": ((whole - prompt) / (setting.new - 1), "ms"),
        "prefill": (prompt, "ms"),
    }
    for what, (value, unit) in measured.items():
        yield Result(what, setting.name(name), subject.digest, value, unit=unit, **facts)


def kinds_of(kernels: list[Any], own: frozenset[str]) -> tuple[Counter[str], Counter[str]]:
    """Milliseconds of kernels by kind, and of those of the model's code by name."""
    kinds, others = Counter[str](), Counter[str]()
    for event in kernels:
        spent = event.time_range.elapsed_us() / 1e3
        if event.name in own or ATTENTION.search(event.name):
            kinds["operator"] += spent
        elif PRODUCTS.search(event.name):
            kinds["products"] += spent
        else:
            kinds["model"] += spent
            others[event.name] += spent
    return kinds, others


def busy(kernels: list[Any]) -> float:
    """Milliseconds in which at least one kernel runs."""
    total, end = 0.0, 0.0
    for event in sorted(kernels, key=lambda event: event.time_range.start):
        start, stop = event.time_range.start, event.time_range.end
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total / 1e3


def kernels_of(run: Callable[[], object], times: int, device: torch.device) -> list[Any]:
    """The kernels of so many runs on a GPU; on a CPU the operations of torch."""
    on_gpu = device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        for _ in range(times):
            run()
        wait(device)
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    return [event for event in profile.events() if event.device_type == kind and not event.is_user_annotation]


def profile(name: str, setting: Setting) -> Iterator[Result]:
    subject = open_model(name, setting, training=True)
    facts = subject.facts()
    trainer, batch = fitting(subject, setting)
    times = 3

    def passes() -> None:
        trainer.both()
        trainer.optimizer.zero_grad(set_to_none=True)

    passes()
    kinds, others = kinds_of(kernels_of(passes, times, setting.device), jit_functions(subject.operators))
    about: dict[str, Any] = {**facts, "batch": batch, "length": setting.length}
    about |= {kind: kinds[kind] / times for kind in ("products", "operator", "model")}
    about["largest"] = [[kernel[:100], spent / times] for kernel, spent in others.most_common(15)]
    label = setting.name(name)
    share = kinds["model"] / max(1e-9, kinds["products"] + kinds["operator"])
    yield Result("model_code", label, subject.digest, 100 * share, limit=10.0, unit="%", passed=share <= 0.1, about=about)
    step = statistics.median(milliseconds(trainer.step, setting.steps, setting.device))
    spent = busy(kernels_of(trainer.step, times, setting.device)) / times
    about = {**facts, "batch": batch, "length": setting.length, "milliseconds": step, "busy_milliseconds": spent}
    yield Result("busy", label, subject.digest, 100 * spent / step, unit="%", passed=spent >= 0.95 * step, about=about)


def rows_of(record: Record) -> Iterator[str]:
    for result in record.results:
        about = result.about
        if result.value is None:
            yield f"{result.what:11} {result.name:44} {result.note}"
            continue
        sizes = f"{about['parameters']:12,} {about['state_parameters']:12,}"
        shape = f"B{about['batch']} T{about['length']}" if "length" in about else f"B{about['batch']} {about['prompt']}+{about['new']}"
        more = [f"{about['milliseconds']:.1f} ms"] if result.what in ("train", "decode", "busy") else []
        if "peak_gib" in about:
            more.append(f"{about['peak_gib']:.1f} GiB")
        if result.what == "decode":
            errors = {"with cache": "error", "without": "without_cache", "recorded": "recording_error"}
            more += [f"error {label} {about[key]:.1e}" for label, key in errors.items() if key in about]
        if result.what == "model_code":
            more += [f"{kind} {about[kind]:.1f} ms" for kind in ("products", "operator", "model")]
        more.append(result.note)
        yield f"{result.what:11} {result.name:44} {sizes} {shape:14} {result.value:11,.1f} {result.unit:8} {', '.join(filter(None, more))}"
        for kernel, spent in about.get("largest", ()):
            yield f"{'':11} {spent:8.2f} ms  {kernel}"


def table(paths: list[Path]) -> str:
    """The records of several commands as one table."""
    lines: list[str] = []
    for record in map(read_record, paths):
        origin = record.origin
        versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
        if not lines:
            head = f"{'':11} {'model':44} {'parameters':>12} {'of a state':>12}"
            lines += [f"{datetime.now(UTC):%Y-%m-%d}, {origin.device}, {versions}", "", head, ""]
        lines += [origin.command, *rows_of(record), ""]
    return "\n".join(lines)


PARTS = {"train": train, "decode": decode, "profile": profile}


def tried(part: str, name: str, setting: Setting) -> Iterator[Result]:
    """The results of one model; where it fails, the reason, so that the others have their turn."""
    try:
        yield from PARTS[part](name, setting)
    except Exception as problem:
        yield Result(part, setting.name(name), passed=False, note=f"{type(problem).__name__}: {str(problem)[:300]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "table"))
    parser.add_argument("records", nargs="*", type=Path, help="of table: files that earlier commands wrote")
    parser.add_argument("--model", nargs="+", default=[SIZES_OF], help="specs, or fla")
    parser.add_argument("--preset", default="340m")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other keys of the specs")
    parser.add_argument("--batch", type=int, help="8 sequences in training, 32 in decoding")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a sequence in training")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=128, help="tokens that are generated")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--compile", choices=("none", "blocks", "whole"), default="none")
    parser.add_argument("--launch", action="store_true", help="launch every kernel of a step of decoding, in place of a recorded step")
    parser.add_argument("--output", type=Path, default=Path("models"), help="without its ending")
    given = parser.parse_args()
    if given.part == "table":
        print(table(given.records))
        return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    setting = Setting(
        given.preset, tuple(given.set), given.batch or (32 if given.part == "decode" else 8), given.length, given.tokens, given.new,
        given.steps, given.compile, not given.launch, device,
    )  # fmt: skip
    origin = origin_here(torch.cuda.get_device_name() if device.type == "cuda" else cpu(), 0, " ".join(["python", *sys.argv]))
    results: list[Result] = []
    for name in given.model:
        for result in tried(given.part, name, setting):
            results.append(result)
            write_file(given.output.with_name(f"{given.output.name}.json"), Record(origin, results).text())
            print("\n".join(rows_of(Record(origin, [result]))), flush=True)
        gc.collect()
        torch.compiler.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return 0 if all(result.value is not None for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
