#!/usr/bin/env bash
# verify/fuzz.sh [PARSER…]: fuzzes every parser of what strangers upload or ask for, or
# those whose names are given, until each has had FUZZTIME seconds (an hour) of a CPU.
# They take turns of FUZZSLICE seconds (ten minutes), the one with the least first, in
# FUZZJOBS jobs (2). A turn is a line of verify/fuzzed.tsv, which is kept with the sources:
# hours add up over days, and begin anew when a parser's package or a module that it uses
# changes. Prints one line and appends it to verify/results.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${FUZZTIME:-3600} slice=${FUZZSLICE:-600} jobs=${FUZZJOBS:-2}
ledger=verify/fuzzed.tsv log=verify/.log-fuzz
parsers=(
  extract:FuzzDocument extract:FuzzPDF extract:FuzzPage extract:FuzzFont extract:FuzzArchive extract:FuzzDOCX extract:FuzzPPTX
  extract:FuzzXLSX extract:FuzzODT extract:FuzzHTML extract:FuzzJSON extract:FuzzText
  chunk:FuzzSplit filter:FuzzParse assertion:FuzzOpen index/sqlindex:FuzzTerms .:FuzzNames .:FuzzContentTypes
  ../api/library:FuzzQuestion ../api/xai:FuzzForms ../llm:FuzzForm
)
[ $# = 0 ] || parsers=("$@")
touch "$ledger"
: >"$log"
scratch=$(mktemp -d) cache=$(go env GOCACHE)/fuzz/gatehouse-verify
works=()
finish() {
  [ ${#works[@]} = 0 ] || kill "${works[@]}" 2>/dev/null || true
  rm -rf "$scratch" verify/.progress-fuzz-*
}
trap finish EXIT
trap 'exit 1' INT TERM

# state_of PACKAGE names what is fuzzed: its sources, and the modules that they use.
state_of() {
  local files
  files=$(go list -f '{{range .GoFiles}}{{$.Dir}}/{{.}} {{end}}' "$1") || return 1
  { cat $files
    go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}' "$1" | sort -u
    go env GOVERSION; } | sha256sum | cut -c1-12
}
declare -A state
look() { for p in "${parsers[@]}"; do state[$p]=$(state_of "./internal/library/${p%%:*}"); done; }
look

# had PARSER prints its seconds and its executions.
had() { awk -v p="$1" -v s="${state[$1]}" '$1 == p && $2 == s {t += $3; n += $4} END {print t + 0, n + 0}' "$ledger"; }

# turn PARSER SECONDS books what it had of a CPU: a busy machine gives less than the time.
# A minute, as is the default, would go into making one large document smaller.
turn() {
  local package=./internal/library/${1%%:*} cpu execs
  local dir=$scratch/${1//[^A-Za-z]/_}
  mkdir -p "$dir"
  state[$1]=$(state_of "$package") || return 1
  go test -c -fuzz "^${1##*:}\$" -o "$dir/test" "$package" >>"$log" 2>&1 || return 1
  if ! cpu=$( { cd "$package" && TIMEFORMAT='%U %S' && time "$dir/test" -test.run '^$' -test.fuzz "^${1##*:}\$" -test.fuzztime "${2}s" \
    -test.fuzzminimizetime 1s -test.parallel 1 -test.fuzzcachedir "$cache/${1##*:}" >"$dir/out" 2>&1; } 2>&1); then
    cat "$dir/out" >>"$log"
    return 1
  fi
  cpu=$(awk -v most="$2" '{t = $1 + $2; t = int(t + 0.999); print (t > most ? most : t)}' <<<"$cpu")
  execs=$(grep -oE 'execs: [0-9]+' "$dir/out" | tail -n 1 | grep -oE '[0-9]+')
  printf '%s\t%s\t%d\t%d\t%s\n' "$1" "${state[$1]}" "$cpu" "$execs" "$(date -u +%F)" >>"$ledger" || return 1
  echo "verify-fuzz: $1 had $(had "$1" | cut -d' ' -f1) of $goal s" >&2
}

# work JOB takes those parsers whose number is JOB, in turns.
work() {
  local p t least i failed=
  while :; do
    least=$((goal * 99 / 100)) p= # a turn's start is not fuzzing
    for i in "${!parsers[@]}"; do
      [ $((i % jobs)) = "$1" ] || continue
      case " $failed " in *" ${parsers[i]} "*) continue ;; esac
      t=$(had "${parsers[i]}" | cut -d' ' -f1)
      [ "$t" -ge "$least" ] || least=$t p=${parsers[i]}
    done
    [ -n "$p" ] || break
    t=$((goal - least < slice ? goal - least : slice))
    turn "$p" $((t < 10 ? 10 : t)) || failed="$failed $p"
  done
  echo "$failed"
}

for ((j = 0; j < jobs; j++)); do
  work "$j" >"verify/.progress-fuzz-$j" &
  works+=($!)
done
for w in "${works[@]}"; do wait "$w"; done
works=()
failed=$(cat verify/.progress-fuzz-*)
failed=$(echo $failed)
look
whole=0 total=0
for p in "${parsers[@]}"; do
  read -r t n < <(had "$p")
  [ "$t" -lt $((goal * 99 / 100)) ] || whole=$((whole + 1))
  total=$((total + n))
done
printf '{"name":"fuzz","commit":"%s","time":"%s","rounds":%d,"of":%d,"result":"%s","last":"%s s each, %s executions%s"}\n' \
  "$(git rev-parse --short HEAD)" "$(date -u +%FT%TZ)" "$whole" "${#parsers[@]}" "$([ -z "$failed" ] && [ "$whole" = ${#parsers[@]} ] && echo pass || echo FAIL)" \
  "$goal" "$total" "${failed:+, failed: $failed}" | tee -a verify/results.jsonl
[ -z "$failed" ] && [ "$whole" = ${#parsers[@]} ] || { echo "see $log" >&2; exit 1; }
