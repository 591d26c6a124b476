#!/usr/bin/env bash
# Sets up .venv if need be, then checks style and runs the tests; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/environment.sh
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
ruff check .
ruff format --check .
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@" # the tests compute on one thread each
