# Sourced by run_all.sh and tests/run.sh, at the root: makes .venv where there is none, installs requirements.txt where
# it has changed since, and activates the environment.
[ -x .venv/bin/python ] || python3 -m venv .venv
if ! cmp -s requirements.txt .venv/installed.txt; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/installed.txt
fi
# shellcheck disable=SC1091
source .venv/bin/activate
