#!/bin/sh
# What is measured on the GPU, in one go: correctness, times as shipped, peers. Usage: gpu_session.sh FOLDER OUT
set -u
export PYTHONUNBUFFERED=1
timeout 400 python3 benchmarks/gpu_check.py --folder "$1" --cases "${CASES:-5}" --processes 14 --limit 380 --output "$2/check.json" > "$2/check.log" 2>&1
grep -c '^ok' "$2/check.log"; grep -E '^MISS|hold$' "$2/check.log"
timeout 60 python3 benchmarks/gpu_time.py "$1" gated_delta_net:64:0 linear_attention:64:0 titans_lmm:64:64 yaad:64:64 yaad:64:256 --variants "" --output "$2/time.json" 2>&1 | tee "$2/time.log" | cut -c1-250
timeout 70 python3 benchmarks/gpu_peers.py flash_linear_attention 2>&1 | tee "$2/peers.log"
timeout 60 python3 benchmarks/gpu_peers.py titans_pytorch 2>&1 | tee -a "$2/peers.log"
