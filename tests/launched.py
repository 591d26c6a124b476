"""Runs scripts of the tests in processes of their own, alone or on two ranks."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def on_two_ranks(name="two_cpu_ranks"):
    """The words after `python` that launch a script on two ranks in fp32, as one of the launch files has them."""
    config = ROOT / f"distillation/launch/{name}.yaml"
    words = ["-m", "accelerate.commands.launch", "--config_file", config, "--num_processes", "2"]
    return [*words, "--mixed_precision", "no", "--main_process_port", "0"]


def python(*words):
    """Fail with the last words of what fails, which `check=True` would bury under its logs."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-5000:]
