"""Every generated package with Triton kernels against its float64 form, on this machine's GPU: a table, and exit code 1 on any miss.

Each case runs in a process of its own: a kernel that dies takes no other case with it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import triton

HERE = Path(__file__).resolve().parent
LINEAR = [("float32", 64, 0), ("bfloat16", 64, 0), ("bfloat16", 128, 0), ("float32", 32, 0), ("bfloat16", 48, 0)]
DEEP = [("float32", 64, 64), ("bfloat16", 64, 64), ("bfloat16", 64, 256), ("float32", 64, 256), ("bfloat16", 32, 96)]
CASES = {"linear_attention": LINEAR, "gated_delta_net": LINEAR, "titans_lmm": DEEP, "yaad": DEEP}


def run_case(folder: str, name: str, case: tuple[str, int, int], limit: int) -> list[dict[str, Any]]:
    dtype, key, hidden = case
    command = [sys.executable, str(HERE / "gpu_case.py"), folder, name, dtype, "--key", str(key), "--hidden", str(hidden)]
    began = time.perf_counter()
    about = {"name": name, "dtype": dtype, "dims": f"K {key}" + (f" N {hidden}" if hidden else "")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        out, problem = done.stdout, (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired as expired:
        out, problem = (expired.stdout or b"").decode(), f"no end within {limit} s"
    rows = [{**about, **json.loads(line)} for line in out.splitlines() if line.startswith("{")]
    if problem:
        rows.append({**about, "check": "runs to its end", "entry": problem[:160], "error": float("inf"), "limit": 0.0})
    print(f"{name} {dtype} {about['dims']}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=str(HERE.parent / "generated"))
    parser.add_argument("--names", nargs="*", default=list(CASES))
    parser.add_argument("--cases", type=int, default=99, help="how many of each package's cases")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--limit", type=int, default=500, help="seconds a case may take")
    parser.add_argument("--output", help="where the table goes as JSON")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU on this machine", file=sys.stderr)
        return 1
    jobs = [(name, case) for index in range(given.cases) for name in given.names for case in CASES[name][index : index + 1]]
    with ThreadPoolExecutor(given.processes) as pool:
        results = list(pool.map(lambda job: run_case(given.folder, *job, given.limit), jobs))
    rows = [row for result in results for row in result]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Triton {triton.__version__}, {' '.join(sys.argv)}")
    failed = 0
    for row in rows:
        passed = row["error"] <= row["limit"]
        failed += not passed
        held = "holds" if passed else "fails"
        figures = f"{row['error']:.1e} of {row['limit']:.1e}" if row["limit"] else held
        columns = f"{'ok  ' if passed else 'MISS'} {row['name']:17} {row['dtype']:9} {row['dims']:11} {row['check']:44}"
        print(f"{columns} {figures:20} {row['entry']}")
    print(f"{len(rows) - failed} of {len(rows)} hold")
    if given.output:
        about = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "triton": triton.__version__, "command": sys.argv}
        Path(given.output).write_text(json.dumps({**about, "rows": rows}, indent=1, default=str) + "\n")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
