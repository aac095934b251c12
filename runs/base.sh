#!/usr/bin/env bash
# Everything that makes `base.safetensors`, in order. DATA is the folder of research data
# (see src/mien/data/splits.py); GPUS how many processes train.
set -euo pipefail
DATA=${1:?usage: runs/base.sh DATA [GPUS]}
GPUS=${2:-1}
mien prepare --data "$DATA" --out out/shards --per-clip 90
mien prepare --data "$DATA" --out out/shards --part heldout
mien synth --count 20000 --size 448 --seed 100000 --workers 16 --gpus "$GPUS" \
    --facekit "$DATA/facekit" --out out/shards
torchrun --nproc_per_node "$GPUS" -m mien train --data out/shards --out out/base \
    --animate.batch 48 --animate.minutes 600
mien eval --data "$DATA" --weights out/base/weights.safetensors --output out/report
