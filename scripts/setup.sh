#!/usr/bin/env bash
# Installs what a build needs, through apt, on Debian 12 or Ubuntu 24.04. Installs only what is
# missing, so it can be run again; works as root and with sudo.
#   scripts/setup.sh          what a build and the tests need
#   scripts/setup.sh --dev    also clang-format, clang-tidy and h5py for the documentation's snippets
set -euo pipefail

packages=(g++ cmake ninja-build ccache git pkg-config
  libyaml-cpp-dev libfmt-dev libspdlog-dev libboost-dev libhdf5-dev libcli11-dev
  nlohmann-json3-dev libopenblas-dev libgtest-dev libgmock-dev)
if [ "${1:-}" = "--dev" ]; then
  packages+=(clang-format clang-tidy python3-h5py python3-numpy)
elif [ $# -gt 0 ]; then
  echo "usage: scripts/setup.sh [--dev]" >&2
  exit 2
fi

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
echo "setup: done"
