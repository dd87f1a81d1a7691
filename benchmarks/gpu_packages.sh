#!/bin/sh
# The packages that gpu_session.sh measures: the gated delta rule and linear attention; Titans and Yaad with hidden widths 64 and 256, in
# chunks of 64 and 16. They are compiled where the compiler is installed. Usage: benchmarks/gpu_packages.sh FOLDER
set -eu
MIRAS=${MIRAS:-.venv/bin/miras}
$MIRAS compile specs/gated_delta_net.yaml specs/linear_attention.yaml -o "$1/exact"
for chunk in 64 16; do
    for expansion in 1 4; do
        $MIRAS compile specs/titans_lmm.yaml specs/yaad.yaml --set chunk.size=$chunk --set memory.expansion=$expansion -o "$1/n$((64 * expansion))_c$chunk"
    done
done
