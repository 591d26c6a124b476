"""Pieces of words that sentencepiece learns: they are the same for the same counts, whatever the machine is doing."""

import io
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece

from distillation.vocabularies.words import ranked

MAX_WORDS = 2_000_000  # distinct words that pieces are learnt from


def learn_pieces(
    words: Counter[str], characters: Iterable[str], seeds: Counter[str] | None = None, **options: Any
) -> list[tuple[str, float]]:
    """The pieces and their scores, in sentencepiece's order, without "<unk>" and the like.

    words: how often each occurs; those with other than these characters are left out. seeds: how often each possible
    piece occurs, for Unigram. options: of the trainer.
    """
    known = set(characters)
    with tempfile.TemporaryDirectory() as folder:
        table, model = _write(Path(folder, "words.tsv"), words, known, MAX_WORDS), io.BytesIO()
        if seeds:
            options["seed_sentencepieces_file"] = _write(Path(folder, "seeds.tsv"), seeds, known)
        sentencepiece.SentencePieceTrainer.train(
            input=table,
            input_format="tsv",
            model_writer=model,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=1 << 20,
            minloglevel=2,
            **options,
        )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    numbers = range(processor.get_piece_size())
    learnt = [number for number in numbers if not processor.is_unknown(number) and not processor.is_control(number)]
    return [(processor.id_to_piece(number), processor.get_score(number)) for number in learnt]


def _write(path: Path, counts: Counter[str], known: set[str], most: int | None = None) -> str:
    """Write at most `most` counts of what has no unknown character, the most frequent first."""
    usable = [(word, count) for word, count in ranked(counts) if known.issuperset(word)][:most]
    path.write_text("".join(f"{word}\t{count}\n" for word, count in usable), encoding="utf-8")
    return str(path)
