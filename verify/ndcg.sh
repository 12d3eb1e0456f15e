#!/usr/bin/env bash
# verify/ndcg.sh: how good answers are (make verify-ndcg). Installs a small embedding
# model and a set of documents with judgements beside each other, in
# VERIFY_NDCG_DIR, and asks. The documents are 50 newspaper texts, each pair of which people
# judged (Lee, Pincombe and Welsh, "An empirical evaluation of models of text document
# similarity", 2005), among 300 others, as gensim's wheel carries them for its tests.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${VERIFY_NDCG_DIR:-${TMPDIR:-/tmp}/gatehouse-ndcg}
mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir"/venv/bin/pip install -q --disable-pip-version-check wordllama==0.4.0.post1
if [ ! -f "$dir/lee/similarities0-1.txt" ]; then
  "$dir"/venv/bin/pip download -q --disable-pip-version-check --no-deps -d "$dir" gensim==4.4.0
  mkdir -p "$dir/lee"
  "$dir"/venv/bin/python - "$dir" <<'PY'
import glob, os, sys, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/gensim-*.whl")[0]) as z:
    for name in ("lee.cor", "lee_background.cor", "similarities0-1.txt"):
        with open(os.path.join(sys.argv[1], "lee", name), "wb") as f:
            f.write(z.read("gensim/test/test_data/" + name))
PY
  rm -f "$dir"/gensim-*.whl
fi
export VERIFY_NDCG_DIR=$dir
verify/run.sh ndcg TestAnswersAreInOrder 1 1 ./verify/ndcg
