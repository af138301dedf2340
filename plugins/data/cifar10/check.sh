#!/usr/bin/env bash
# The conformance kit on three made-up images: check.sh MOIETY PLUGIN
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
record() {  # LABEL BYTE: an image of one byte
  printf "\\x0$1"
  head -c 3072 /dev/zero | tr '\0' "$2"
}
{ record 3 a; record 0 b; record 9 c; } >"$folder/data_batch_1.bin"
{ record 1 d; record 2 e; } >"$folder/test_batch.bin"
"$1" plugins check "$2" --example "folder=$folder"
