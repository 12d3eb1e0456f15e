#!/bin/sh
# Generates gen/ from proto/, and what documents say from its comments. The plugins are built from this module's go.mod
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
# Generated code keeps no comments; the document of the API is made of them.
buf build proto --as-file-descriptor-set --exclude-path proto/gatehouse/fleet -o "$root/bin/proto.binpb"
(cd tools && GOWORK=off go run ./comments) <bin/proto.binpb >internal/api/comments.json
