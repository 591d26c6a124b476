"""What ends a run before its time, in all processes at the same step: SIGTERM, and a loss that is no number."""

import atexit
import math
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from distillation.config.errors import Stopped
from distillation.runs.agreement import all_raise


class Watch(TrainerCallback):
    """Asks all processes at the end of each step. On a GPU nobody waits for the answer: it is read at the end of the
    next step, and before anything is saved."""

    def __init__(self, terms: Sequence[str], device: torch.device, text: Callable[[Any], str]):
        """terms: the names of the losses; text: what a user can find a batch by, of what `saw` was given of it."""
        self.terms = terms
        self.text = text
        self.device = device
        self.stopping = False  # at the next checkpoint
        self._signalled = False
        # Nothing, a signal, a loss that is no number: made in a step they would have to be copied to the device.
        self._flags = torch.tensor([[0, 0], [1, 0], [0, 1]], dtype=torch.int32, device=device)
        self._seen: list[tuple[Tensor, Any]] = []  # in this step
        self._asked: tuple | None = None

    def saw(self, losses: Tensor, batch: Any) -> None:
        """Take note of the losses (terms,) of a micro-batch of a run; `text` will be asked about `batch`."""
        self._seen.append((losses.detach(), batch))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Here SIGTERM ends nothing by itself.

        It is blocked besides being handled: data loader workers inherit that, and live on until the checkpoint is
        written where the signal was sent to all processes.
        """
        if threading.current_thread() is not threading.main_thread():  # others cannot listen
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
        self.settle()
        self._ask(state.global_step)
        if self.device.type != "cuda":
            self.settle()
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

    # Questions and answers

    def _ask(self, step: int) -> None:
        signalled = self._signalled or signal.SIGTERM in signal.sigpending()
        answer = self._flags[int(signalled)]
        if self._seen:
            losses = torch.stack([losses for losses, _ in self._seen])
            answer = torch.maximum(answer, self._flags[2] * ~losses.isfinite().all())
        if torch.distributed.is_initialized():
            answer = answer.clone()
            torch.distributed.all_reduce(answer, torch.distributed.ReduceOp.MAX)
        cuda = self.device.type == "cuda"
        self._asked = step, self._seen, answer.to("cpu", non_blocking=cuda), torch.cuda.Event() if cuda else None
        if cuda:
            self._asked[-1].record()
        self._seen = []

    def settle(self) -> None:
        """Take the answer of all processes to what was asked last. Raises UserError for a loss that is no number."""
        if self._asked is None:
            return
        step, seen, answer, arrived = self._asked
        self._asked = None
        if arrived is not None:
            arrived.synchronize()
        stopping, lost = answer.tolist()
        self.stopping |= bool(stopping)
        if lost:
            all_raise(self._problem(step, seen))

    def _problem(self, step: int, seen: Sequence[tuple[Tensor, Any]]) -> str | None:
        """What this process has seen that is no number, if it has."""
        for losses, batch in seen:
            for term, value in zip(self.terms, losses.tolist(), strict=True):
                if not math.isfinite(value):
                    return (
                        f"the loss `{term}` is {value} in step {step}, in a batch with {self.text(batch)}: look at "
                        "these texts, or begin elsewhere with a lower `learning_rate`; nothing was saved after it"
                    )
        return None


def _end_workers() -> None:
    """At the interpreter's end, which waits for workers of data loaders that it has sent a SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
