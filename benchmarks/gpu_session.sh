#!/bin/sh
# What is measured on a GPU, within ten minutes: speeds beside the peers, then correctness. What is done is in OUT at any time.
# Usage: benchmarks/gpu_session.sh FOLDER OUT, with the packages of gpu_packages.sh in FOLDER. PEER_SECONDS (0: none), CHECK_SECONDS and
# CASES set how much of either; PACKAGES="…" are measured in place of all. TUNE="PACKAGE …" searches for launches instead, and leaves the
# launch table and the journal, from which JOURNAL=FOLDER goes on, in OUT.
set -u
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
PYTHON=${PYTHON_GPU:-python3}
PROCESSES=$(nproc)
if [ -n "${TUNE:-}" ]; then
    mkdir -p "$2/journal" && cp "${JOURNAL:-/nonexistent}"/* "$2/journal" 2> /dev/null
    # shellcheck disable=SC2086
    timeout "${TUNE_SECONDS:-560}" $PYTHON benchmarks/gpu.py tune $TUNE --limit 90 --processes "$PROCESSES" --journal "$2/journal" \
        --results "$2/tune.json" 2>&1 | tee "$2/tune.log" | cut -c1-200
    cp miras_compiler/gpus/launch_table.json "$2/"
    exit
fi
if [ "${PEER_SECONDS:-430}" != 0 ]; then
    : "${PACKAGES:=$1/exact/gated_delta_net $(echo "$1"/n64_c64/* "$1"/n256_c64/* "$1"/n64_c16/* "$1"/n256_c16/*)}"
    # shellcheck disable=SC2086
    timeout "${PEER_SECONDS:-430}" $PYTHON benchmarks/gpu.py peers $PACKAGES --processes "$PROCESSES" --limit 150 \
        --results "$2/peers.json" > "$2/peers.txt" 2> "$2/peers.log"
    echo "peers: exit code $?"
    if [ -s "$2/peers.txt" ]; then cat "$2/peers.txt"; else cat "$2/peers.log"; fi
fi
timeout "${CHECK_SECONDS:-150}" $PYTHON benchmarks/gpu.py check "$1/exact/linear_attention" "$1/exact/gated_delta_net" \
    "$1/n256_c64/titans_lmm" "$1/n256_c64/yaad" --cases "${CASES:-2}" --processes "$PROCESSES" --limit "${CHECK_SECONDS:-140}" \
    --results "$2/check.json" > "$2/check.txt" 2> "$2/check.log"
echo "check: exit code $?"
grep -E '^MISS|hold$' "$2/check.txt" | cut -c1-200
