#!/usr/bin/env bash
# The texts and exit codes of `moiety plugins`, with the broken plugins on the path.
# Usage: commands.sh <moiety> <folder of the broken plugins>
set -uo pipefail
moiety=$1 folder=$2
unset MOIETY_PLUGIN_PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# expect <exit code> <text that the output holds> <arguments>...
expect() {
  local code=$1 text=$2
  shift 2
  local output
  output=$("$moiety" plugins "$@" 2>&1)
  local got=$?
  if [ $got -ne "$code" ] || ! grep -qF -- "$text" <<< "$output"; then
    echo "moiety plugins $*: expected exit code $code and '$text', got $got and:" >&2
    echo "$output" >&2
    bad=1
  fi
}

# Stamps alone: a plugin whose entry throws is listed like any other.
expect 0 "throws_in_entry" list --plugin-path "$folder"
expect 0 "UNUSABLE plugin 'abi_newer' 1.0.0" list --kind objective --plugin-path "$folder"
expect 0 "is no plugin: it has no MOIETY_PLUGIN stamp" list --plugin-path "$folder"
expect 2 "no plugin kind 'gate'; there are: gating, expert, optimizer, data, objective" list --kind gate

expect 0 "scale   a number in [0, 1]    0.5      a factor" show objective plain --plugin-path "$folder"
expect 0 "traits  cpu, cuda, deterministic" show objective plain --plugin-path "$folder"
expect 0 "| k | an integer in [1, 8] | 2 | a number of things |" \
  show objective plain --markdown --plugin-path "$folder"
expect 3 "no objective 'plian'; did you mean 'plain'?" show objective plian --plugin-path "$folder"
expect 3 "is refused:" show objective bad_default --plugin-path "$folder"

expect 3 "undefined symbol: moiety_function_of_the_future" check "$folder/moiety_objective_undefined_symbol.so"
expect 3 "no such file" check "$work/nowhere.so"
expect 1 "FAIL  objective throws_in_create" check "$folder/moiety_objective_throws_in_create.so"
expect 2 "" check "$folder/moiety_objective_plain.so" --device tpu

expect 2 "no plugin kind 'gate'" new gate acme --directory "$work/a"
expect 2 "expected a name of lower case letters" new gating Acme --directory "$work/a"
expect 2 "expected a name of lower case letters" new gating ../acme --directory "$work/a"
[ -e "$work/a" ] && { echo "a refused project was written" >&2; bad=1; }
expect 0 "wrote $work/b/acme_gating.cc" new gating acme --directory "$work/b"
expect 2 "is not an empty folder" new gating acme --directory "$work/b"
expect 0 "wrote $work/c/acme_optimizer.cu" new optimizer acme --directory "$work/c"

# Pages: written once, then completed by hand; the next writing keeps what the hand wrote.
page=$work/pages/gating_top1.md
expect 1 "gating_top1.md: missing" reference "$work/pages" --check
[ -e "$work/pages" ] && { echo "--check wrote something" >&2; bad=1; }
expect 1 "gating_top1.md: has no text of its own" reference "$work/pages"
for file in "$work"/pages/*_*.md; do
  echo "By hand. Fedus et al. (2021), equation 4: y = p(x) E(x), and then some more words about it so
that the page says what the component computes and where the formula is from." >> "$file"
done
expect 0 "" reference "$work/pages" --check
sed -i "s/Jitter/Jotter/" "$page"
expect 1 "gating_top1.md: stale" reference "$work/pages" --check
expect 0 "wrote $page" reference "$work/pages"
grep -q "By hand" "$page" && grep -q "Jitter" "$page" || { echo "$page is not as it should be" >&2; bad=1; }
sed -i "/<!--/d" "$page"
expect 1 "gating_top1.md: has no place for the options" reference "$work/pages" --check
expect 0 "wrote $page" reference "$work/pages"
echo > "$work/pages/gating_of_the_past.md"
expect 1 "is the page of no plugin" reference "$work/pages" --check

expect 0 "$work" path --plugin-path "$work"
expect 0 "lib/moiety/plugins" path
exit $bad
