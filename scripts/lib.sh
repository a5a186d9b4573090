# Sourced by the scripts beside it: where the project is, and the tools that setup put there.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Tools fetched by scripts/setup live in the project (ignored by git); rustup's own place is not on every PATH.
TOOLS=$ROOT/.carillon/bin
export PATH="$PATH:$TOOLS:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"

say() { printf '%s\n' "carillon: $*" >&2; }

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The redis-server to use, if there is one.
find_redis() {
  local candidate
  for candidate in "${CARILLON_REDIS_SERVER:-}" redis-server valkey-server; do
    if [[ -n $candidate ]] && have "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}
