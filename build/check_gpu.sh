#!/usr/bin/env bash
# Checks searches on the GPU of this machine, with the programs in a folder (bin) and
# nothing else installed but the driver: the kernels against the CPU and their speed
# against the memory's, then a server whose worker is killed under load. Reports are
# written to a folder (data/gpu). What follows are options of the selftest.
set -euo pipefail

readonly PROGRAMS=${1:-bin} REPORTS=${2:-data/gpu}
mkdir -p "$REPORTS"
status=0
"$PROGRAMS/themis_gpu" --selftest --json "$REPORTS/selftest.json" "${@:3}" || status=$?
"$PROGRAMS/themis_bench" gpu -start "$PROGRAMS/themis_server" -port 18765 -dir "$REPORTS/server" -dim 768 -json "$REPORTS/server.json" || status=$?
exit "$status"
