#!/usr/bin/env bash
# Unpacks the header-only libraries of the CUDA build, CUTLASS and cudnn-frontend, out of their wheels
# on PyPI into third_party/ (git-ignored). Version and hash are pinned; what is there already stays.
# Needs python3 with pip and the network, but neither nvcc nor a GPU. setup.sh --cuda calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT

# fetch FOLDER PACKAGE VERSION SHA256 PATHS PIP_ARGUMENT...
#   PATHS: the wheel's folders, separated by ':', whose headers become third_party/FOLDER/include.
fetch() {
  local folder=$1 package=$2 version=$3 hash=$4 paths=$5
  shift 5
  if [ "$(cat "third_party/$folder/.stamp" 2>/dev/null)" = "$hash" ]; then
    echo "headers: $package $version is there"
    return
  fi
  echo "$package==$version --hash=sha256:$hash" >"$download/$folder.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --requirement "$download/$folder.txt" --dest "$download/$folder" "$@"
  python3 - "$download/$folder" "third_party/$folder" "$paths" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
to, paths = pathlib.Path(sys.argv[2]), sys.argv[3].split(":")
shutil.rmtree(to, ignore_errors=True)
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        path = pathlib.PurePosixPath(name)
        out = None
        if path.name.startswith("LICENSE") and ".dist-info" in name:
            out = to / path.name
        elif path.suffix in {".h", ".hpp", ".inl", ".cuh"}:
            root = next((p for p in paths if name.startswith(p + "/")), None)
            out = to / "include" / path.relative_to(root) if root else None
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(archive.read(name))
PYTHON
  echo "$hash" >"third_party/$folder/.stamp"
  echo "headers: $package $version unpacked into third_party/$folder"
}

fetch cutlass nvidia-cutlass 4.2.0.0 \
  f9599ada45c7bcb6bf53f7d3f0a7d154183e53451c01bfa59eecd37dd4a693f6 \
  cutlass_library/source/include:cutlass_library/source/tools/util/include
# Every wheel of a release holds the same headers: one fixed tag gives one hash on any Python.
fetch cudnn_frontend nvidia-cudnn-frontend 1.32.0 \
  c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0 include \
  --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64
