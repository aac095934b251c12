#!/usr/bin/env bash
# Weights that anybody may use for anything: trained on rendered heads, public-domain portraits and
# CC0 pictures alone. DATA is the folder of research data; GPUS how many processes train. Judged
# on the same held-out people as `base`.
set -euo pipefail
DATA=${1:?usage: runs/clean.sh DATA [GPUS]}
GPUS=${2:-1}
mien prepare --data "$DATA" --out out/clean-shards --clean
mien prepare --data "$DATA" --out out/clean-shards --part heldout
mien synth --count 60000 --size 448 --seed 300000 --workers 16 --gpus "$GPUS" \
    --facekit "$DATA/facekit" --out out/clean-shards
torchrun --nproc_per_node "$GPUS" -m mien train --data out/clean-shards --out out/clean \
    --licence "any use" --animate.batch 48 --animate.minutes 600
mien eval --data "$DATA" --weights out/clean/weights.safetensors --output out/report-clean
mien eval --compare out/report/results.json out/report-clean/results.json
