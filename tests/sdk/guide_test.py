"""docs/plugin_guide.md shows the code of examples/acme_gating as it is, in at most 60 lines."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
guide = (root / "docs/plugin_guide.md").read_text()
source = (root / "examples/acme_gating/acme_gating.cc").read_text()
cmake = (root / "examples/acme_gating/CMakeLists.txt").read_text()

problems = []
blocks = re.findall(r"```(cpp|cmake)\n(.*?)```", guide, re.DOTALL)
for language, block in blocks:
    for line in block.splitlines():
        if line not in (source if language == "cpp" else cmake):
            problems.append(f"not in examples/acme_gating: {line}")
lines = len(source.splitlines())
if lines > 60:
    problems.append(f"acme_gating.cc has {lines} lines, at most 60 are promised")
if f"in {lines} lines" not in guide:
    problems.append(f"the guide does not say that the gate has {lines} lines")
if len(blocks) < 5:
    problems.append(f"only {len(blocks)} blocks of code were found")
print("\n".join(problems))
sys.exit(1 if problems else 0)
