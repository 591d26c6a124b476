"""Processes forked from this one, which has imported everything already: alone, or as the ranks of one run."""

import contextlib
import os
import sys
from pathlib import Path

from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from accelerate.utils.other import get_free_port

ROOT = Path(__file__).resolve().parents[1]


def ranks(count=2, launch="two_cpu_ranks"):
    """The environment of each of `count` ranks in fp32, as `accelerate launch` makes it of a launch file."""
    if count == 1:
        return [{}]
    config = str(ROOT / f"distillation/launch/{launch}.yaml")
    words = ["--config_file", config, "--num_processes", str(count), "--mixed_precision", "no", "script.py"]
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    args.main_process_port = get_free_port()
    shared = prepare_multi_gpu_env(args) | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(args.main_process_port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def as_on_gpus(training_args):
    """With FSDP, let accelerate take the devices for GPUs, which alone get shards; the device stays the CPU."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        training_args.distributed_state.distributed_type = DistributedType.MULTI_GPU


def start(environments, log, function, *arguments):
    """The process ids of forks that call a function, one for each of the environments; `log` takes all they print."""
    return [_fork(environment, log, function, *arguments) for environment in environments]


def _fork(environment, log, function, *arguments):
    process, code = os.fork(), 1
    if process:
        with contextlib.suppress(PermissionError):  # it was faster
            os.setpgid(process, process)  # so that it can be killed from its first moment, with its workers
        return process
    try:
        os.setpgid(0, 0)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(target, stream)
        sys.stdout = sys.stderr = open(target, "w", buffering=1)  # pytest has its own
        os.environ |= environment
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that it was forked from
        GradientState._reset_state()
        function(*arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(code)


def running(processes):
    """Whether each of them is; they are left to be waited for."""
    return all(os.waitid(os.P_PID, one, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None for one in processes)


def wait(processes):
    """The exit codes."""
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


def run(environments, log, function, *arguments):
    """Call a function in forks and wait for them. Fails with the last words of what fails."""
    codes = wait(start(environments, log, function, *arguments))
    assert not any(codes), f"codes {codes}\n" + Path(log).read_text(encoding="utf-8", errors="replace")[-5000:]
