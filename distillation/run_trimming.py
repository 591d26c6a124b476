"""Give a model a smaller vocabulary without training. It keeps the tokens that a corpus needs most, and their rows.

python distillation/run_trimming.py --model_name_or_path MODEL --train_file corpus.txt.gz --vocab_size 20000 \\
    --output_dir outputs/model-20k

A text whose tokens are all kept, none of them unknown, is cut as before and gets the same hidden states. The model may
have any head that reads a text alone, and any fast tokenizer of the kinds WordPiece, BPE, and Unigram.

`run_publish.py --checkpoint outputs/model-20k --hub_model_id NAME` pushes it, with the card that is written here.
"""

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import CardArguments
from distillation.config.command_line import REQUIRED, key
from distillation.config.corpus import TextArguments
from distillation.config.errors import UserError, cli_entry
from distillation.config.paths import check_no_model
from distillation.config.recipe import parse_recipe
from distillation.runs.files import CARD, RESULTS, replacing, trimming_table, write_json

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ANSWERS = 30  # texts that are timed, one at a time
PICTURE = "trimming.png"


@dataclass
class TrimmingArguments:
    """The model, and the tokens that it keeps."""

    model_name_or_path: str = key(REQUIRED, "Model to trim: Hub id or folder.", path="model")
    output_dir: str = key(REQUIRED, "Folder for the trimmed model and its figures.")
    vocab_size: int | None = key(None, "Tokens to keep, special ones included: exactly that many.", least=1)
    coverage: float | None = key(
        None, "Instead of `vocab_size`: share of the corpus's tokens to cover, such as 0.9999.", above=0, most=1
    )
    keep_file: str | None = key(
        None, "Text file: the tokens of its lines are kept, whatever their count.", path="corpus"
    )
    max_unknown: float = key(0.05, "Largest share of unknown tokens that is not an error.", least=0, most=1)
    vocab_sizes: list[int] = key([], "Other sizes to measure and draw; their models are not saved.")

    def __post_init__(self):
        if (self.vocab_size is None) == (self.coverage is None):
            raise UserError("give one of `vocab_size` and `coverage`: how many tokens stay")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Parse, load, count, trim, measure, save."""
    arguments, data_args, card_args = parse_recipe(TrimmingArguments, TextArguments, CardArguments, argv=argv)
    check_no_model(arguments.output_dir, (CARD, RESULTS, "tokenizer.json", PICTURE))
    from distillation.corpus.examples import check_unknown  # heavy imports only where the arguments are right
    from distillation.demo.resolve import resolve_demo
    from distillation.models.loading import counts_from_padding, position_count, save_pretrained
    from distillation.models.sentence_encoder import copy_modules
    from distillation.models.vocabulary_rows import keep_rows, load_trimmable
    from distillation.runs.checkpoint import explain_write_errors
    from distillation.text.reading import load_lines
    from distillation.text.sampling import load_split
    from distillation.vocabularies.trimming import Trimmer
    from distillation.vocabularies.words import sample_texts

    resolve_demo(data_args)
    lines, held_out = load_split(data_args)
    model, tokenizer = load_trimmable(arguments.model_name_or_path, "model_name_or_path")
    trimmer = Trimmer(tokenizer)
    words = trimmer.words(sample_texts(lines))
    counts = trimmer.count(words)
    if tokenizer.unk_token_id is not None:
        check_unknown(counts[tokenizer.unk_token_id] / max(counts.sum(), 1), tokenizer, arguments.max_unknown)
    texts = load_lines(data_args, arguments.keep_file, None)["text"][:] if arguments.keep_file else ()
    required = trimmer.required(counts, texts)
    if counts_from_padding(model):  # such a model derives positions from the id of padding, which must not move
        required |= set(range(model.config.pad_token_id + 1))
    found = trimmer.shrink(words, required, {*arguments.vocab_sizes, arguments.vocab_size} - {None})
    chosen = found.get(arguments.vocab_size) or trimmer.cover(counts, required, arguments.coverage)
    others = [found[size] for size in arguments.vocab_sizes if size != len(chosen)]

    variants = {"before": (model, tokenizer)}
    for kept in sorted({tuple(kept) for kept in (chosen, *others)}, key=len, reverse=True):
        variants[f"{len(kept):,} tokens"] = keep_rows(model, kept), trimmer.trim(kept)
    name = f"{len(chosen):,} tokens"
    figures = measure(variants, held_out, min(data_args.max_length, position_count(model)))
    sizes = dict(figures)
    facts = {"parameters": figures[name]["parameters"], "before": sizes.pop("before"), "after": sizes.pop(name)}
    facts |= {"other_sizes": sizes} | of_head(arguments.model_name_or_path, variants[name][0])
    with explain_write_errors(arguments.output_dir), replacing(arguments.output_dir, last=RESULTS) as folder:
        folder.mkdir()
        copy_modules(arguments.model_name_or_path, "model_name_or_path", folder)
        save_pretrained(*variants[name], folder)
        save_results(folder, facts, asdict(arguments) | asdict(data_args), card_args)
        if others:
            draw(figures, folder / PICTURE)
    print(trimming_table(figures))
    print(f"saved to {arguments.output_dir}")
    return figures


def measure(
    variants: "Mapping[str, tuple[PreTrainedModel, PreTrainedTokenizerBase]]", held_out: "Dataset", max_length: int
) -> dict[str, dict[str, float]]:
    """Figures of each variant; of a masked LM also how well it fills in the words of held-out lines."""
    from transformers import AutoModelForMaskedLM

    from distillation.evaluation import evaluate_masked_lm, held_out_examples
    from distillation.vocabularies.words import count_words

    models, tokenizers = zip(*variants.values(), strict=True)
    words = count_words(held_out["text"][:])
    cut = [[tokenizer.tokenize(word) for word in words] for tokenizer in tokenizers]
    seconds = answer_seconds(models, tokenizers, held_out["text"][:ANSWERS], max_length)
    figures = {}
    for name, model, tokens, answer in zip(variants, models, cut, seconds, strict=True):
        pairs = list(zip(words.values(), tokens, cut[0], strict=True))
        figures[name] = {
            "tokens": model.config.vocab_size,
            "parameters": model.num_parameters(),
            "mib": sum(weight.nbytes for weight in model.parameters()) / 2**20,
            "words_cut_otherwise": sum(count for count, own, before in pairs if own != before) / words.total(),
            "tokens_per_word": sum(count * len(own) for count, own, _ in pairs) / words.total(),
            "answer_ms": 1000 * answer,
        }
    if type(models[0]) in AutoModelForMaskedLM._model_mapping.values() and tokenizers[0].mask_token:
        examples = held_out_examples(held_out, tokenizers, max_length)
        for name, model, tokenizer, rows in zip(variants, models, tokenizers, examples, strict=True):
            figures[name] |= evaluate_masked_lm(model, tokenizer, rows)
    return figures


def answer_seconds(
    models: "Sequence[PreTrainedModel]", tokenizers: "Sequence[PreTrainedTokenizerBase]", texts: list[str], length: int
) -> list[float]:
    """For each model the median time of a text, one at a time and the models by turns."""
    import torch

    seconds = [[] for _ in models]
    with torch.inference_mode():
        for text in texts[:1] + texts:  # the first time is no figure
            for model, tokenizer, own in zip(models, tokenizers, seconds, strict=True):
                start = time.perf_counter()
                model(**tokenizer(text, truncation=True, max_length=length, return_tensors="pt"))
                own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in seconds]


def of_head(name_or_path: str, model: "PreTrainedModel") -> dict[str, Any]:
    """What a card says of the head: its task by the Hub's name, and what the config adds to that."""
    from distillation.hub.snippets import SENTENCES, TASKS, VECTORS
    from distillation.models.sentence_encoder import find_modules

    tag = next((task for end, task in TASKS.items() if type(model).__name__.endswith(end)), VECTORS)
    if find_modules(name_or_path):
        tag = SENTENCES
    known = {"texts": "texts_at_once", "thresholds": "thresholds", "may_have_no_answer": "may_have_no_answer"}
    return {"pipeline_tag": tag} | {name: getattr(model.config, key, None) for name, key in known.items()}


def save_results(folder: Path, facts: dict[str, Any], recipe: dict[str, Any], card_args: CardArguments) -> None:
    """Write `all_results.json` and the card, which names no data set: the model learned from none."""
    from distillation.hub.publishing import card_facts, save_card

    base = card_facts(folder, recipe["model_name_or_path"], card_args)
    results = facts | base | {"dataset": None, "recipe": recipe}
    write_json(folder / RESULTS, results)
    save_card(folder, results, None)


def draw(figures: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Loss per character and accuracy of words, or the words that are cut otherwise, against the number of tokens."""
    from matplotlib.figure import Figure

    names = ("loss_per_character", "masked_word_accuracy") if "loss" in figures["before"] else ("words_cut_otherwise",)
    picture = Figure(figsize=(4.5 * len(names), 3.2), layout="constrained")
    for axes, name in zip(picture.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.semilogx([of["tokens"] for of in figures.values()], [of[name] for of in figures.values()], "o-")
        axes.set(xlabel="tokens of the vocabulary", title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    picture.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
