#!/usr/bin/env bash
# verify/run.sh NAME TEST TOTAL CHUNK [PACKAGE [VARIABLE]]: runs a torture in chunks until TOTAL rounds
# are done at this commit, resuming where an earlier run stopped, prints one line
# and appends it to verify/results.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 test=$2 total=$3 chunk=$4 package=${5:-./verify} variable=${6:-VERIFY_ROUNDS}
commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!verify/results.jsonl' || echo -dirty)
progress=verify/.progress-$name
log=verify/.log-$name
done_=0
if [ -f "$progress" ] && [ "$(cut -d' ' -f1 "$progress")" = "$commit" ]; then
  done_=$(cut -d' ' -f2 "$progress")
else
  : >"$log"
fi
result=pass
while [ "$done_" -lt "$total" ]; do
  n=$((total - done_ < chunk ? total - done_ : chunk))
  if ! env "$variable=$n" go test "$package" -count=1 -timeout 2h -v -run "^${test}\$" >>"$log" 2>&1; then
    result=FAIL
    break
  fi
  done_=$((done_ + n))
  echo "$commit $done_" >"$progress"
  echo "verify-$name: $done_ of $total" >&2
done
detail=$({ grep -hoE '_test\.go:[0-9]+: .*' "$log" || grep -hE '^ok' "$log"; } | sed -E 's/^_test\.go:[0-9]+: //' | tail -n 1 | tr '"\\' "' " | cut -c1-300)
line=$(printf '{"name":"%s","commit":"%s","time":"%s","rounds":%d,"of":%d,"result":"%s","last":"%s"}' \
  "$name" "$commit" "$(date -u +%FT%TZ)" "$done_" "$total" "$result" "$detail")
echo "$line" | tee -a verify/results.jsonl
[ "$result" = pass ] || { echo "see $log" >&2; exit 1; }
rm -f "$progress"
