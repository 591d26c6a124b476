"""The smallest model that an ExactTrainer trains: a dozen runs a second."""

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainingArguments

from distillation.runs.exact_trainer import ExactTrainer
from distillation.runs.files import WEIGHTS

OPTIONS = dict(use_cpu=True, disable_tqdm=True, report_to="none", save_strategy="steps", save_steps=2, seed=1)
OPTIONS |= dict(per_device_train_batch_size=8, learning_rate=0.1, max_steps=10, logging_steps=2)
OPTIONS |= dict(train_sampling_strategy="group_by_length")


class Net(nn.Module):
    """Dropout, so that random numbers must come back; as many weights as a full disk needs."""

    def __init__(self, dropout):
        super().__init__()
        self.layer, self.dropout = nn.Linear(8, 40), nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.layer(x)).mean(-1)


class TinyTrainer(ExactTrainer):
    """The mean squared error of the values that count, of which examples have different numbers."""

    def count(self, batch):
        return batch["mask"].sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        count = self.count(inputs) if num_items_in_batch is None else num_items_in_batch / self.args.world_size
        loss = ((model(inputs["x"]) - inputs["y"]).square() * inputs["mask"]).sum() / count
        return (loss, {}) if return_outputs else loss

    def write_model(self, folder, state_dict):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.accelerator.unwrap_model(self.model).state_dict(), folder / WEIGHTS)

    def evaluate(self, *_, **__):
        metrics = {"eval_loss": self.compute_loss(self.model.eval(), collate(list(self.eval_dataset))).item()}
        self.log(metrics)
        return metrics

    def record(self):
        self.progress.add({"checkpoints": 1})


def collate(examples):
    return {name: torch.tensor([example[name] for example in examples]) for name in ("x", "y", "mask")}


def examples(count=48):
    """Each has 3 vectors and their sums, of which 1 to 3 count."""
    x = torch.randn(count, 3, 8, generator=torch.Generator().manual_seed(0))
    lengths = [1 + index % 3 for index in range(count)]
    masks = [[int(place < length) for place in range(3)] for length in lengths]
    return Dataset.from_dict({"x": x.tolist(), "y": x.sum(-1).tolist(), "mask": masks, "length": lengths})


class At(TrainerCallback):
    """Does something at the end of a step, before what the trainer does there."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.action()


def make(folder, at=None, dropout=0.2, count=48, **options):
    """A trainer; at: a step and what happens in it; count: of examples."""
    torch.manual_seed(1)
    arguments, dataset = TrainingArguments(str(folder), **{**OPTIONS, **options}), examples(count)
    data = dict(data_collator=collate, train_dataset=dataset, eval_dataset=dataset)
    callbacks = [At(*at)] if at else []
    return TinyTrainer(Net(dropout), arguments, lengths=lambda: dataset["length"][:], callbacks=callbacks, **data)


def train(folder, checkpoint=None, **options):
    """What `make` makes, trained."""
    trainer = make(folder, **options)
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    return trainer


def assert_same_ends(one, other):
    """To the bit."""
    expected = other.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in one.model.state_dict().items())
