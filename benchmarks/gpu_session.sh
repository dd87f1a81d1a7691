#!/bin/sh
# Everything that is measured on the GPU in one go: correctness, launch options, peers. Usage: gpu_session.sh FOLDER OUT
set -u
export PYTHONUNBUFFERED=1
timeout 270 python3 benchmarks/gpu_check.py --folder "$1" --cases "${CASES:-3}" --processes 12 --limit 240 --output "$2/check.json" > "$2/check.log" 2>&1
grep -c '^ok' "$2/check.log"; grep -E '^MISS|hold$' "$2/check.log"
timeout 120 python3 benchmarks/gpu_time.py "$1" gated_delta_net:64:0 linear_attention:64:0 --variants 0,2,3,4 --processes 8 --output "$2/linear.json" 2>&1 | tee "$2/linear.log" | cut -c1-250
timeout 200 python3 benchmarks/gpu_time.py "$1" titans_lmm:64:64 yaad:64:64 yaad:64:256 titans_lmm:64:256 --variants 0,1,6 --processes 12 --limit 130 --output "$2/deep.json" 2>&1 | tee "$2/deep.log" | cut -c1-300
