"""Tries which architectures of transformers can be teachers, with a tiny random model of each.

python benchmarks/architectures.py --output architectures.json
python benchmarks/architectures.py --names bert deberta-v2

The table has one line for all architectures with the same outcome. `--output` has the reasons of each "no".
* `evaluates`: run_evaluation.py reads it;
* `distils`: run.py learns from it without attention maps (`weight_attention: 0`); `with maps`: from these too;
* `gives layers`: the student's layers start from its layers, and not from random weights;
* `exports`: export.py makes an int8 file of it.
"""

import contextlib
import io
import logging
import runpy
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import ROOT, key
from distillation.config.errors import UserError, cli_entry, one_line
from distillation.config.recipe import parse_recipe
from distillation.runs.files import markdown_table, write_json

COLUMNS = ("evaluates", "distils", "with maps", "gives layers", "exports")
SHAPE = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=66
)
ROBERTA = {"pad_token_id": 1}  # positions are counted from it on
XLM = dict(emb_dim=32, n_layers=2, n_heads=4, n_langs=1, pad_index=0)
# The architectures that read text, by their `model_type`, and the values that a tiny config of each needs besides
# `SHAPE`; None removes a value of `SHAPE`.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "camembert": ROBERTA,
    "convbert": {"embedding_size": 32},
    "data2vec-text": ROBERTA,
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 16},
    "distilbert": dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    "electra": {"embedding_size": 16},
    "ernie": {},
    "esm": ROBERTA | {"mask_token_id": 4},
    "eurobert": {"num_key_value_heads": 4, "head_dim": 8},
    "flaubert": XLM,
    "fnet": {"tpu_short_seq_length": 32},
    "funnel": dict(block_sizes=[1, 1], d_model=32, n_head=4, d_head=8, d_inner=64, num_hidden_layers=None),
    "ibert": ROBERTA,
    "layoutlm": {},
    "longformer": ROBERTA | {"attention_window": 8},
    "luke": ROBERTA | {"entity_vocab_size": 8, "entity_emb_size": 16},
    "megatron-bert": {},
    "mobilebert": dict(embedding_size=32, intra_bottleneck_size=32, true_hidden_size=32),
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
    "mpnet": ROBERTA,
    "mra": {},
    "nomic_bert": {},
    "nystromformer": {},
    "perceiver": dict(d_model=32, d_latents=32, num_latents=8, num_blocks=1, num_self_attends_per_block=2),
    "reformer": dict(
        attn_layers=["local", "lsh"],
        attention_head_size=8,
        feed_forward_size=64,
        axial_pos_shape=[8, 8],
        axial_pos_embds_dim=[16, 16],
        max_position_embeddings=64,
        local_attn_chunk_length=8,
        lsh_attn_chunk_length=8,
        is_decoder=False,
    ),
    "rembert": dict(input_embedding_size=16, output_embedding_size=24),
    "roberta": ROBERTA,
    "roberta-prelayernorm": ROBERTA,
    "roc_bert": {"enable_pronunciation": False, "enable_shape": False},
    "roformer": {"embedding_size": 32},
    "squeezebert": {"embedding_size": 32},
    "xlm": XLM,
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": ROBERTA,
    "xmod": ROBERTA | {"languages": ["ru_RU"], "default_language": "ru_RU"},
    "yoso": {},
}
TINY = ["--max_length", "32", "--student_layers", "1", "--max_steps", "2", "--per_device_train_batch_size", "4"]
TINY += ["--student_attention_heads", "4", "--save_strategy", "no", "--report_to", "none", "--use_cpu", "true"]


@dataclass
class ArchitectureArguments:
    """Which architectures are tried."""

    names: list[Literal[tuple(ARCHITECTURES)]] = key([], "Values of `model_type`; by default all.")
    output: str | None = key(None, "JSON file for the outcomes.", path="output")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, dict[str, str]]:
    """Try them; print a table."""
    (arguments,) = parse_recipe(ArchitectureArguments, argv=argv)
    from benchmarks.timing import synthetic

    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.txt")
        corpus.write_text(synthetic.corpus()[:20_000].replace(" ", "\n"), encoding="utf-8")
        for name in arguments.names or ARCHITECTURES:
            try:
                teacher = make_teacher(name, Path(folder, name))
            except Exception as error:  # this version of transformers lacks it, or rejects this config
                found[name] = {"evaluates": f"not tried: {one_line(error)}"}
            else:
                found[name] = outcomes(name, teacher, corpus)
            print(name, found[name], file=sys.stderr, flush=True)
    groups: dict[tuple, list[str]] = {}
    for name, results in found.items():
        groups.setdefault(tuple(results.get(c, "").split(":")[0] for c in COLUMNS), []).append(name)
    print(markdown_table(["teacher", *COLUMNS], [[", ".join(names), *results] for results, names in groups.items()]))
    if arguments.output:
        write_json(arguments.output, found)
    return found


def make_teacher(name: str, folder: Path) -> Path:
    """A masked LM with random weights, and its tokenizer."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForMaskedLM

    from benchmarks.timing import synthetic
    from distillation.models.loading import save_pretrained
    from distillation.vocabularies.wordpiece import build_tokenizer

    extra = ARCHITECTURES[name]
    numbers = synthetic.tokenizer(600).get_vocab()
    tokens = sorted(numbers, key=numbers.get)
    if extra.get("pad_token_id"):
        tokens[:2] = reversed(tokens[:2])
    tokenizer = build_tokenizer(tokens)
    torch.manual_seed(0)
    shape = SHAPE | {"vocab_size": len(tokenizer), "pad_token_id": 0} | extra
    config = CONFIG_MAPPING[name](**{key: value for key, value in shape.items() if value is not None})
    save_pretrained(AutoModelForMaskedLM.from_config(config), tokenizer, folder)
    return folder


def outcomes(name: str, teacher: Path, corpus: Path) -> dict[str, str]:
    """The outcome of everything that is tried with one teacher."""
    from distillation.models.initialisation import COPIED

    model, text = ["--model_name_or_path", str(teacher)], ["--validation_file", str(corpus), "--max_length", "32"]
    distil = ["--teacher_name_or_path", str(teacher), "--train_file", str(corpus), *TINY, "--output_dir"]
    without = [f"{teacher}-without", "--weight_attention", "0"]
    results = (
        outcome("distillation/run_evaluation.py", [*model, *text]),
        outcome("distillation/run.py", [*distil, *without]),
        outcome("distillation/run.py", [*distil, f"{teacher}-with"]),
        "yes" if name in COPIED else "no",
        outcome("benchmarks/export.py", [*model, *text, "--output_dir", f"{teacher}-int8"]),
    )
    return dict(zip(COLUMNS, results, strict=True))


def outcome(script: str, argv: list[str]) -> str:
    """Runs a script in this process: `yes`, `no` with the UserError's sentence, or `fault` for any other error."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(str(ROOT / script), run_name=script)["main"].__wrapped__(argv)  # without its guard
        return "yes"
    except UserError as error:
        return f"no: {error}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {one_line(error)}"
    finally:
        logging.disable(logging.NOTSET)


if __name__ == "__main__":
    main()
