#!/usr/bin/env bash
# Whether distillation helps: one teacher, its pictures, three students trained as long, and what
# changed. Goes on from out/shards and out/base of runs/base.sh. DATA is the folder of research data;
# GPUS how many processes train; MINUTES how long each student does.
set -euo pipefail
DATA=${1:?usage: runs/distill.sh DATA [GPUS] [MINUTES]}
GPUS=${2:-1}
MINUTES=${3:-60}
BASE=out/base/weights.safetensors
TEACHER=out/teacher/weights.safetensors
together() { torchrun --nproc_per_node "$GPUS" -m mien "$@"; }

together teach --data out/shards --out out/teacher --teach.minutes 600
mien distill sheet --data out/shards --teacher "$TEACHER" --out out/teacher/sheet.jpg
together distill make --data out/shards --teacher "$TEACHER" --weights "$BASE" \
    --out out/shards --check
for taught in none front lifted; do
    together train --data out/shards --out "out/distill-$taught" --start "$BASE" \
        --taught "$taught" --taught-batch 16 \
        --animate.batch 32 --animate.learning-rate 2e-4 --animate.minutes "$MINUTES"
    mien eval --data "$DATA" --weights "out/distill-$taught/weights.safetensors" \
        --output "out/report-$taught" --cache out/evalcache
done
for taught in front lifted; do
    mien eval --compare out/report-none/results.json "out/report-$taught/results.json"
done
# The mean of both has most of what each is better at; packed as weights ship.
mien weights pack out/distill-none/weights.safetensors out/distill-lifted/weights.safetensors \
    --output out/base.safetensors
