#!/usr/bin/env bash
# verify/fuzz.sh [PARSER…]: fuzzes every parser of what strangers upload or ask for
# FUZZTIME (an hour) each, or those whose names are given; resumes behind the last one
# that was done at this commit, prints one line and appends it to verify/results.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-1h}
parsers=(
  extract:FuzzDocument extract:FuzzPDF extract:FuzzPage extract:FuzzFont extract:FuzzArchive extract:FuzzDOCX extract:FuzzPPTX
  extract:FuzzXLSX extract:FuzzODT extract:FuzzHTML extract:FuzzJSON extract:FuzzText
  chunk:FuzzSplit filter:FuzzParse assertion:FuzzOpen index/sqlindex:FuzzTerms .:FuzzNames .:FuzzContentTypes
  ../api/library:FuzzQuestion ../api/xai:FuzzForms ../llm:FuzzForm
)
[ $# = 0 ] || parsers=("$@")
commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!verify/results.jsonl' || echo -dirty)
progress=verify/.progress-fuzz
log=verify/.log-fuzz
[ -f "$progress" ] && [ "$(head -n 1 "$progress")" = "$commit $time" ] || { echo "$commit $time" >"$progress"; : >"$log"; }
result=pass failed=
# A minute, as is the default, would go into making one large document smaller.
for p in "${parsers[@]}"; do
  grep -qx "$p .*" "$progress" && continue
  if go test "./internal/library/${p%%:*}" -run '^$' -fuzz "^${p##*:}\$" -fuzztime "$time" -fuzzminimizetime 1s -parallel 2 >>"$log" 2>&1; then
    echo "$p $(grep -oE 'execs: [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+')" >>"$progress"
    echo "verify-fuzz: $(tail -n 1 "$progress") executions" >&2
  else
    result=FAIL failed="$failed $p"
  fi
done
total=$(tail -n +2 "$progress" | awk '{n += $NF} END {printf "%d", n}')
printf '{"name":"fuzz","commit":"%s","time":"%s","rounds":%d,"of":%d,"result":"%s","last":"%s each, %s executions%s"}\n' \
  "$commit" "$(date -u +%FT%TZ)" "$(($(wc -l <"$progress") - 1))" "${#parsers[@]}" "$result" "$time" "$total" "${failed:+, failed:$failed}" | tee -a verify/results.jsonl
[ "$result" = pass ] || { echo "see $log" >&2; exit 1; }
rm -f "$progress"
