"""SIGTERM and Ctrl-C end a run in good order: all ranks write a checkpoint after the same step."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distillation.config.errors import Stopped


class Interruption(TrainerCallback):
    """After each step asks all ranks whether one was signalled, and reads the answer a step later, so that no rank
    waits for a GPU."""

    def __init__(self, args: TrainingArguments):
        self._speaks = args.process_index == 0
        self.stopping = 0  # the signal that ends the run at the next checkpoint
        self._signalled = 0
        self._device = args.device
        self._query: tuple | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """In this block neither SIGTERM nor a first Ctrl-C ends the process.

        SIGTERM is handled and blocked. Data loader workers inherit the mask: if all processes get the signal, the
        workers live until the checkpoint is written. Of Ctrl-C they inherit the handler.
        """
        main_thread = threading.current_thread() is threading.main_thread()
        if not main_thread or not hasattr(signal, "pthread_sigmask"):  # only POSIX has the mask
            yield
            return
        atexit.register(_end_workers)
        former = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._note)}
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it is ignored
            former[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            yield
            if self._signalled == signal.SIGINT:  # after the last step
                raise KeyboardInterrupt
        finally:
            if self.stopping and signal.SIGTERM in signal.sigpending():
                signal.sigwait([signal.SIGTERM])
            for number, handler in former.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _note(self, number: int, _: Any) -> None:
        if self._signalled == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = number
        if number == signal.SIGINT and self._speaks and not multiprocessing.parent_process():
            # print and logging cannot be called while either is at work
            message = f"\nprocess {os.getpid()} writes a checkpoint after this step; Ctrl-C again ends it at once\n"
            with contextlib.suppress(OSError):  # `tee` has died of the same Ctrl-C
                os.write(2, message.encode())

    # Called by the Trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_training_stop |= state.global_step >= state.max_steps  # resumed at its last step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._read()
        self._ask()
        if state.global_step >= state.max_steps:  # no step comes after it
            self._read()
        # After an epoch's last step, what is due at the end of the epoch comes first: a resumed run would skip it.
        control.should_save |= self.stopping > 0 and not float(state.epoch).is_integer()

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_save |= self.stopping > 0

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.stopping:
            checkpoint = f"{args.output_dir}/checkpoint-{state.global_step}"
            name = "Ctrl-C" if self.stopping == signal.SIGINT else "SIGTERM"
            message = f"stopped by {name} after step {state.global_step}: {checkpoint} is written, "
            raise Stopped(message + "go on with `--resume_from_checkpoint true`", 128 + self.stopping)

    def _read(self) -> None:
        if self._query is not None:
            answer, arrived = self._query
            if arrived is not None:
                arrived.synchronize()
            self.stopping = int(answer)

    def _ask(self) -> None:
        pending = hasattr(signal, "sigpending") and signal.SIGTERM in signal.sigpending()
        number = signal.SIGTERM if pending else self._signalled
        answer = torch.full((), number, dtype=torch.int32, device=self._device)  # no copy
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(answer, torch.distributed.ReduceOp.MAX)
        arrived = torch.cuda.Event() if answer.device.type == "cuda" else None
        self._query = answer.to("cpu", non_blocking=arrived is not None), arrived
        if arrived is not None:
            arrived.record()


def _end_workers() -> None:
    """The interpreter sends data loader workers a SIGTERM, which they block, and waits for them: kill them first."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
