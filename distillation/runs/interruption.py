"""SIGTERM ends a run in good order: all ranks write a checkpoint after the same step."""

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distillation.config.errors import Stopped


class Interruption(TrainerCallback):
    """Each step ends with the question whether any rank was signalled. The answer is read at the end of the next
    step: so nobody waits for a GPU."""

    def __init__(self, device: torch.device):
        self.stopping = False  # at the next checkpoint
        self._signalled = False
        self._device = device
        self._asked: tuple | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Here SIGTERM ends nothing by itself.

        It is blocked besides being handled: data loader workers inherit that, and live on until the checkpoint is
        written where the signal was sent to all processes.
        """
        main_thread = threading.current_thread() is threading.main_thread()  # others cannot listen, nor can Windows
        if not main_thread or not hasattr(signal, "pthread_sigmask"):
            yield
            return
        atexit.register(_end_workers)
        former = signal.signal(signal.SIGTERM, self._note)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            yield
        finally:
            if self.stopping and signal.SIGTERM in signal.sigpending():
                signal.sigwait([signal.SIGTERM])
            signal.signal(signal.SIGTERM, former)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _note(self, *_: Any) -> None:
        self._signalled = True

    # Called by the Trainer

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._asked is not None:
            answer, arrived = self._asked
            if arrived is not None:
                arrived.synchronize()
            self.stopping |= bool(answer)
        self._ask()
        # A checkpoint of an epoch's last step would go on behind what is due at its end: that comes first.
        control.should_save |= self.stopping and not float(state.epoch).is_integer()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_save |= self.stopping

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.stopping:
            raise Stopped(
                f"stopped by SIGTERM after step {state.global_step}: {args.output_dir}/checkpoint-{state.global_step} "
                "is written, go on with `--resume_from_checkpoint true`",
                128 + signal.SIGTERM,
            )

    def _ask(self) -> None:
        pending = hasattr(signal, "sigpending") and signal.SIGTERM in signal.sigpending()
        answer = torch.full((), int(self._signalled or pending), dtype=torch.int32, device=self._device)  # no copy
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(answer, torch.distributed.ReduceOp.MAX)
        cuda = answer.device.type == "cuda"
        self._asked = answer.to("cpu", non_blocking=cuda), torch.cuda.Event() if cuda else None
        if cuda:
            self._asked[1].record()


def _end_workers() -> None:
    """At the interpreter's end, which waits for workers of data loaders that it has sent a SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
