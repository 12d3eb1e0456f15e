#!/bin/sh
# Generates gen/ from proto/. The plugins are built from this module's go.mod
# into bin/tools, so the same sources give the same bytes on any machine.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/tools"
GOWORK=off GOBIN="$root/bin/tools" go install tool
cd "$root"
rm -rf gen
PATH="$root/bin/tools:$PATH"
export PATH
buf generate proto --template proto/buf.gen.yaml --exclude-path proto/google --exclude-path proto/gatehouse/fleet
buf generate proto --template proto/buf.gen.fleet.yaml --path proto/gatehouse/fleet
