#!/bin/sh
# Is HEAD slower than BASE? For any CI, or by hand. Usage: rigmark.sh [BASE] [SUITE] [BUDGET]
# Exit codes: 0 nothing slower, 1 slower, 2 something failed, 3 nothing measured, 4 too noisy to tell.
set -u

base=${1:-origin/main}
suite=${2:-fast}
budget=${3:-10m}
out=${RIGMARK_OUT:-rigmark-out}

mkdir -p "$out" || exit 2
rigmark ab "$suite" --base "$base" --new HEAD --budget "$budget" \
  --results "$out/results" --format markdown --output "$out/verdict.md" --junit "$out/verdict.xml"
code=$?
if [ -f "$out/verdict.md" ]; then cat "$out/verdict.md"; fi
exit "$code"
