"""Trains a few steps on however many ranks it is launched with; test_task_trainer.py compares what they end with.

python task_ranks.py MODEL INPUTS OUTPUT BATCH_SIZE_OF_A_RANK, INPUTS being pickled tasks with their parts
"""

import json
import pickle
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, TrainingArguments

from distillation.config.errors import cli_entry
from finetuning.trainer import TaskTrainer


@cli_entry
def main(argv: list[str]) -> None:
    """Each kind of task in a folder of its own: a start is dearer than the steps."""
    model, inputs, output, batch_size = argv
    for kind, (task, train, validation) in pickle.loads(Path(inputs).read_bytes()).items():
        run(model, task, train, validation, Path(output, kind), int(batch_size))


def run(folder: str, task, train, validation, output: Path, batch_size: int) -> None:
    torch.manual_seed(0)
    model = task.load_model(folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    training = TrainingArguments(
        output_dir=str(output),
        use_cpu=True,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size - 1,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        optim="sgd",  # Adam divides by the gradient's size and would hide a wrong factor
        learning_rate=0.05,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        train_sampling_strategy="group_by_length",
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = TaskTrainer(model, training, task=task, train=train, validation=validation, tokenizer=tokenizer)
    trainer.train()
    scores, predictions = trainer.measure(validation)
    if trainer.is_world_process_zero():
        output.mkdir(exist_ok=True, parents=True)
        weights = {name: tensor.contiguous() for name, tensor in trainer.model.state_dict().items()}
        save_file(weights, output / "weights.safetensors")
        losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
        found = {"scores": scores, "predictions": predictions, "losses": losses}
        (output / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
