"""Runs scripts of the tests in processes of their own, alone or on two ranks."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ON_TWO_RANKS = ["-m", "accelerate.commands.launch", "--num_processes", "2"]
ON_TWO_RANKS += ["--mixed_precision", "no", "--main_process_port", "0"]


def python(*words):
    """Fail with the last words of what fails, which `check=True` would bury under its logs."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-5000:]
