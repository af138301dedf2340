#!/usr/bin/env bash
# Installs the build, moves the installation, writes a project with `moiety plugins new`, builds and
# tests it, installs its plugin and finds it again.
# Usage: out_of_tree.sh <source folder> <build folder> <cmake> <c++ compiler> <compiler flags>
set -euo pipefail
source=$1 build=$2 cmake=$3 compiler=$4 flags=$5
unset MOIETY_PLUGIN_PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$work/first" > "$work/install.log" || {
  cat "$work/install.log"
  fail "install"
}
prefix=$work/prefix
mv "$work/first" "$prefix"  # nothing in an installation may know where it was installed
moiety=$prefix/bin/moiety
"$moiety" plugins list --kind gating | grep "$prefix" > /dev/null || fail "no installed plugins"

cd "$work"
"$moiety" plugins new gating acme
diff -r acme_gating "$source/examples/acme_gating" || fail "examples/acme_gating is not what is written"
"$moiety" plugins new gating acme 2> again.log && fail "an existing folder was overwritten"
[ $? -eq 2 ] && grep -q "is not an empty folder" again.log || fail "$(cat again.log)"

"$moiety" plugins new gating my_gate --directory work
"$cmake" -S work -B out -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags -Wall -Wextra -Werror" \
  -DMoiety_DIR="$prefix/lib/cmake/Moiety" > configure.log || { cat configure.log; fail "configure"; }
"$cmake" --build out
"$source/scripts/check_exports.sh" out/moiety_gating_my_gate.so
"$(dirname "$cmake")/ctest" --test-dir out --output-on-failure --no-tests=error
loss=$(sed -n 's/.*"validation_loss":\([0-9.]*\).*/\1/p' out/run/metrics.jsonl | tail -n 1)
awk -v loss="$loss" 'BEGIN { exit !(loss > 0 && loss < 2) }' ||
  fail "the loss starts at 4.2 and ends at '$loss'"

# The projects of the other kinds, as they are written, in one build.
mkdir all
printf 'cmake_minimum_required(VERSION 3.25)\nproject(all LANGUAGES CXX)\ninclude(CTest)\n' > all/CMakeLists.txt
for kind in expert optimizer data objective; do
  "$moiety" plugins new $kind acme
  diff -r "acme_$kind" "$source/examples/acme_$kind" || fail "examples/acme_$kind is not what is written"
  "$moiety" plugins new $kind "my_$kind" --directory "all/$kind" > /dev/null
  echo "add_subdirectory($kind)" >> all/CMakeLists.txt
done
"$cmake" -S all -B all/out -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_CXX_FLAGS="$flags -Wall -Wextra -Werror" -DMoiety_DIR="$prefix/lib/cmake/Moiety" \
  > configure.log || { cat configure.log; fail "configure"; }
"$cmake" --build all/out -j 2
"$(dirname "$cmake")/ctest" --test-dir all/out -j 2 --output-on-failure --no-tests=error
for kind in expert optimizer data objective; do
  loss=$(sed -n 's/.*"validation_loss":\([0-9.]*\).*/\1/p' "all/out/$kind/run/metrics.jsonl" | tail -n 1)
  awk -v loss="$loss" 'BEGIN { exit !(loss > 0 && loss < 2.5) }' ||
    fail "$kind: the loss starts at 4.2 and ends at '$loss'"
done

# Found where it is told to look, and, once installed, without being told.
"$moiety" plugins show gating my_gate > /dev/null 2>&1 && fail "found without a path"
"$moiety" plugins show gating my_gate --plugin-path out | grep -q capacity_factor || fail "--plugin-path"
MOIETY_PLUGIN_PATH=$work/out "$moiety" plugins show gating my_gate > /dev/null || fail "MOIETY_PLUGIN_PATH"
"$cmake" --install out --prefix "$prefix" > /dev/null
"$moiety" plugins show gating my_gate | grep -q "$prefix/lib/moiety/plugins" || fail "installed plugin"

# A function that the SDK does not have is the author's link error.
sed -i -e 's/^namespace {$/namespace moiety::ops { void of_the_future(Exec\&); }\n&/' \
  -e 's/ops::softmax_rows(/ops::of_the_future(exec); &/' work/my_gate_gating.cc
"$cmake" --build out > link.log 2>&1 && fail "linked against a function that is nowhere"
grep -q "undefined reference" link.log || fail "$(cat link.log)"
echo "the SDK works out of the tree"
