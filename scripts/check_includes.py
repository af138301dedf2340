#!/usr/bin/env python3
"""Checks who includes whom (docs/architecture.md): the ladder of layers inside core, plugins that
see <moiety/...> alone, and third-party headers in the one place where each belongs.

Usage: scripts/check_includes.py [FILE...]   (default: every source file of the repository)
"""
import functools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("core", "apps", "plugins", "examples")
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# A folder of core (or apps) and the folders of core that it may include besides itself.
BELOW = {
    "base": "",
    "device": "base",
    "ops": "device base",
    "plugin": "base",
    "config": "plugin base",
    "model": "config plugin ops device base",
    "checkpoint": "model config plugin ops device base",
    "train": "checkpoint model config plugin ops device base",
    "testing": "train checkpoint model config plugin ops device base",
    "bench": "train checkpoint model config plugin ops device base",
    "apps": "bench testing train checkpoint model config plugin ops device base",
}
# Third-party headers and the paths that may include them.
THIRD_PARTY = {
    r"yaml-cpp/": r"core/config/.*\.cc",
    r"boost/": r"core/plugin/loader\.cc",
    r"(hdf5|H5\w+)\.h": r"core/checkpoint/.*",
    r"spdlog/": r"core/base/log\.cc",
    r"nlohmann/": r"core/base/json\.cc",
    r"CLI/": r"apps/.*\.cc",
    r"fmt/": r"core/base/check\.h|(core|apps)/.*\.cc",
    r"cblas\.h": r"core/ops/.*\.cc",
    r"(cuda|cublas|cub/|nvtx|nccl|cudnn)": r"core/(device|ops|comm|testing)/.*|.*\.cuh?",
}
STANDARD = re.compile(r"[a-z_0-9]+|(sys|linux)/[a-z]+\.h|[a-z]+\.h")


# Headers that are there with CUDA alone, and the sources that builds without CUDA leave out. What
# the other sources include reaches such a header behind GUARD alone.
OF_CUDA = re.compile(r"(cuda|cublas|cub/|nccl|cudnn).*")
CUDA_ALONE = re.compile(r".*_(cuda|cudnn)\.(cc|cu)|core/ops/sm90/.*")
GUARD = re.compile(r"\s*#\s*if\s+defined\(__CUDACC__\)")
CONDITION = re.compile(r"\s*#\s*(if|endif)")


@functools.cache
def unguarded_includes(path):
    """Headers that `path` includes in every build, as written."""
    headers, depth, guarded = [], 0, 0
    for line in (ROOT / path).read_text().splitlines():
        condition, include = CONDITION.match(line), INCLUDE.match(line)
        if condition:
            depth += 1 if condition.group(1) == "if" else -1
            guarded = depth if GUARD.match(line) else guarded if depth >= guarded else 0
        if include and not guarded:
            headers.append(include.group(2))
    return headers


def way_to_cuda(path, seen):
    """The files from `path` to a header of CUDA, or None."""
    for header in unguarded_includes(path):
        if OF_CUDA.fullmatch(header):
            return [path, header]
        file = header if not header.startswith("moiety/") else f"core/include/{header}"
        if file not in seen and (ROOT / file).is_file():
            seen.add(file)
            way = way_to_cuda(file, seen)
            if way:
                return [path, *way]
    return None


def layer_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "core" else parts[0]


def third_party_problem(path, header):
    for pattern, allowed in THIRD_PARTY.items():
        if re.match(pattern, header):
            return None if re.fullmatch(allowed, path) else f"<{header}> belongs in {allowed}"
    return None if STANDARD.fullmatch(header) else f"<{header}> is not known to this script"


def sdk_problem(path, quote, header):
    """Plugins, examples and the SDK's own headers."""
    if quote == "<":
        return None if header.startswith("moiety/") else third_party_problem(path, header)
    beside = (ROOT / path).parent / header
    if path.startswith(("plugins/", "examples/")) and "/" not in header and beside.exists():
        return None
    return f'"{header}" is not in the SDK: <moiety/...> is all that is visible here'


def problem(path, quote, header):
    if path.startswith(("plugins/", "examples/", "core/include/")):
        return sdk_problem(path, quote, header)
    if quote == "<":
        return None if header.startswith("moiety/") else third_party_problem(path, header)
    if not header.startswith(("core/", "apps/")):
        return f'"{header}": write the path from the root of the repository'
    if header.startswith("core/include/"):
        return f'"{header}": public headers are included as <moiety/...>'
    own, other = layer_of(path), layer_of(header)
    if own == other or other in BELOW.get(own, "").split():
        return None
    return f'"{header}": {own} may include {BELOW.get(own) or "nothing"}'


def main(arguments):
    files = [pathlib.Path(a).resolve() for a in arguments]
    if not files:
        files = sorted(f for folder in FOLDERS for f in (ROOT / folder).rglob("*"))
    problems = checked = 0
    for file in files:
        if file.suffix not in SUFFIXES or not file.is_relative_to(ROOT):
            continue
        path = file.relative_to(ROOT).as_posix()
        if not path.startswith(FOLDERS):
            continue
        checked += 1
        if file.suffix in {".cc", ".cu"} and not CUDA_ALONE.fullmatch(path):
            way = way_to_cuda(path, set())
            if way:
                print(f"{path}: compiled without CUDA too, and reaches {way[-1]} without a guard: "
                      + " -> ".join(way), file=sys.stderr)  # fmt: skip
                problems += 1
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            why = problem(path, *match.groups()) if match else None
            if why:
                print(f"{path}:{number}: {why}", file=sys.stderr)
                problems += 1
    print(f"{checked} files, {problems} wrong includes")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
