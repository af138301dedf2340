# Sourced by the other scripts: where the tree is, which preset suits this machine, how many jobs.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# cuda where there are a GPU and an nvcc to use it, else cpu. MOIETY_PRESET overrides.
choose_preset() {
  if [ -n "${MOIETY_PRESET:-}" ]; then
    echo "$MOIETY_PRESET"
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 &&
    { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }; then
    echo cuda
  else
    echo cpu
  fi
}

# One job a core, fewer where memory is short (2 GiB a job).
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

configure() {  # configure PRESET [-Doption...]
  cmake --preset "$@" --log-level=WARNING >"build-$1.log" 2>&1 || {
    cat "build-$1.log" >&2
    return 1
  }
  rm -f "build-$1.log"
}
