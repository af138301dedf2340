#!/usr/bin/env bash
# Checks who includes whom; see check_includes.py. Arguments are files, none means all.
exec python3 "$(dirname "$0")/check_includes.py" "$@"
