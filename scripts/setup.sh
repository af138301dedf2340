#!/usr/bin/env bash
# Installs what a build needs, through apt, on Debian 12 or Ubuntu 24.04. Installs only what is
# missing, so it can be run again; works as root and with sudo.
#   scripts/setup.sh          what a build and the tests need
#   scripts/setup.sh --dev    also clang-format, clang-tidy and h5py for the documentation's snippets
#   scripts/setup.sh --cuda   also the headers of the CUDA build's fused kernels, into third_party/
#                             (fetch_headers.sh, from PyPI); no nvcc is needed for that
set -euo pipefail

packages=(g++ cmake ninja-build ccache git pkg-config
  libyaml-cpp-dev libfmt-dev libspdlog-dev libboost-dev libhdf5-dev libcli11-dev
  nlohmann-json3-dev libgtest-dev libgmock-dev)
headers=
for option in "$@"; do
  case $option in
    --dev) packages+=(clang-format clang-tidy python3-h5py python3-numpy) ;;
    --cuda)
      headers=yes
      python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
      ;;
    *)
      echo "usage: scripts/setup.sh [--dev] [--cuda]" >&2
      exit 2
      ;;
  esac
done
fetch_headers() {
  [ -z "$headers" ] || "$(dirname "$0")/fetch_headers.sh"
}

if ! command -v apt-get >/dev/null; then
  echo "setup: this system has no apt-get. Install these by hand: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: everything is installed"
  fetch_headers
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: run as root, or install sudo; needed: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fetch_headers
echo "setup: done"
