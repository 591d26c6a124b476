"""Train a reduced student vocabulary on a corpus, and compare it with the teacher's.

python distillation/run_vocabulary.py --train_file corpus.txt.gz --vocab_size 5000 --output_dir outputs/vocabulary-5000
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.corpus import CorpusArguments
from distillation.config.errors import cli_entry
from distillation.config.paths import check_no_model
from distillation.config.recipe import parse_recipe


@dataclass
class VocabularyArguments:
    """The vocabulary, where it goes, and what it is compared with."""

    output_dir: str = key(REQUIRED, "Folder for the tokenizer and its figures.")
    vocab_size: int = key(5000, "Entries, special tokens included: exactly that many.")
    model_type: Literal["wordpiece", "unigram"] = key(
        "wordpiece", "Kind of tokenizer; with `unigram` nothing is unknown, and 256 entries are bytes."
    )
    lowercase: bool = key(False, "Lower-case all text; accents stay, so that й is not read as и.")
    teacher_name_or_path: str | None = key(None, "Whose tokenizer to compare with: a Hub id, a folder.", path="source")


ARGUMENTS = (VocabularyArguments, CorpusArguments)


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Parse, read, train, compare on held-out lines, save."""
    arguments, data_args = parse_recipe(*ARGUMENTS, argv=argv)
    check_no_model(arguments.output_dir, ("tokenizer.json", "vocab.txt"))
    from distillation.demo.resolve import resolve_demo  # heavy imports only where the arguments are right
    from distillation.models.loading import load_tokenizer
    from distillation.models.tokenizer_file import save_tokenizer
    from distillation.runs.files import markdown_table, replacing, write_json
    from distillation.text.sampling import load_split
    from distillation.vocabularies import unigram, wordpiece
    from distillation.vocabularies.words import measure, sample_texts

    name = arguments.teacher_name_or_path
    teacher = load_tokenizer(name, "teacher_name_or_path") if name else None
    resolve_demo(data_args)
    lines, held_out = load_split(data_args)
    train = {"wordpiece": wordpiece, "unigram": unigram}[arguments.model_type].train_tokenizer
    tokenizer = train(sample_texts(lines), arguments.vocab_size, arguments.lowercase)

    figures = {"student": measure(tokenizer, held_out["text"][:])}
    if teacher is not None:
        figures["teacher"] = measure(teacher, held_out["text"][:])
    folder = Path(arguments.output_dir)
    with replacing(folder, last="vocabulary.json") as draft:
        save_tokenizer(tokenizer, draft)
        write_json(draft / "vocabulary.json", figures)
    shown = {"entries": ",", "tokens_per_word": ".3f", "unknown_tokens": ".3%", "unknown_words": ".3%"}
    rows = [[name, *(format(values[key], how) for key, how in shown.items())] for name, values in figures.items()]
    print(markdown_table(["held-out text", *(key.replace("_", " ") for key in shown)], rows))
    print(f"saved to {folder}")
    return figures


if __name__ == "__main__":
    main()
