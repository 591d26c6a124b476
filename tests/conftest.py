"""What the tests share: a data cache of their own, a small corpus, tokenizers of three kinds, a tiny teacher."""

import gc
import gzip
import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix="datasets-")
os.environ |= {"HF_DATASETS_CACHE": _cache.name, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.hub_stand_in import TOKEN, Hub  # noqa: E402
from tests.texts import demo_lines  # noqa: E402

settings.register_profile("tests", deadline=None)  # on a busy machine any example may take long
settings.load_profile("tests")
# What takes seconds to import is imported by its users: the first process of pytest-xdist runs no test, and waits for
# this file.

# The longest files. They are run first: one that is left for the end keeps one process busy and the others idle.
LONGEST = ["distillation/test_ranks.py", "test_contributing.py", "test_fuzz.py", "distillation/runs/test_kill.py"]
LONGEST += ["benchmarks/backends/test_graph_export.py", "benchmarks/test_studies.py", "benchmarks/test_inference.py"]
LONGEST += ["finetuning/test_run_benchmarks.py", "finetuning/russian_superglue/test_run.py"]


def pytest_collection_modifyitems(items):
    """For `--dist loadfile --no-loadscope-reorder`, which hands out the files in this order."""
    places = {f"tests/{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.location[0], len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def quick_libraries():
    import datasets
    import torch

    datasets.disable_progress_bars()
    torch.set_num_threads(1)  # the models are tiny: threads would only wait for each other


@pytest.fixture(scope="module", autouse=True)
def frozen(quick_libraries):
    """Each training ends with a collection of garbage. It leaves out what was there before: most is the libraries'."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def corpus_lines():
    return demo_lines(400)


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory, corpus_lines):
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in corpus_lines).encode()))
    return path


@pytest.fixture(scope="session")
def tokenizer(corpus_lines):
    """Cased WordPiece, so small that many words have several pieces."""
    from distillation.vocabularies.wordpiece import train_tokenizer

    tokenizer = train_tokenizer(corpus_lines, vocab_size=300)
    tokenizer.model_max_length = 64  # that of the models that it is for
    return tokenizer


@pytest.fixture(scope="session")
def student_vocabulary(tmp_path_factory, corpus_lines):
    """A saved WordPiece tokenizer with fewer entries than any teacher's."""
    from distillation.vocabularies.wordpiece import train_tokenizer

    folder = tmp_path_factory.mktemp("vocabulary")
    train_tokenizer(corpus_lines, vocab_size=200).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def byte_tokenizer(corpus_lines):
    """Byte-level BPE that counts a word's space among its characters."""
    return _byte_level(corpus_lines)


@pytest.fixture(scope="session")
def spaced_byte_tokenizer(corpus_lines):
    """Byte-level BPE that has punctuation marks with a space before them, too."""
    return _byte_level([*corpus_lines, *(f"он {mark} она" for mark in ",.!?-" for _ in range(200))])


def _byte_level(lines):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _wrapped(bare, lines, trainers.BpeTrainer, vocab_size=500, initial_alphabet=alphabet)


@pytest.fixture(scope="session")
def unigram_tokenizer(corpus_lines):
    """Unigram as sentencepiece has it: compatibility characters expanded, spaces a part of the tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    bare = Tokenizer(models.Unigram())
    bare.normalizer = normalizers.NFKC()
    bare.pre_tokenizer = pre_tokenizers.Metaspace()
    bare.decoder = decoders.Metaspace()
    return _wrapped(bare, corpus_lines, trainers.UnigramTrainer, vocab_size=250, unk_token="[UNK]")


def _wrapped(bare, lines, trainer, **options):
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    from distillation.vocabularies.wordpiece import SPECIAL_TOKENS

    bare.train_from_iterator(lines, trainer(special_tokens=list(SPECIAL_TOKENS), show_progress=False, **options))
    around = [(token, bare.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    bare.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=bare, **dict(zip(roles, SPECIAL_TOKENS, strict=True)))


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, tokenizer):
    """A saved BERT of four narrow layers with random weights and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from distillation.models.loading import save_pretrained

    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    shape = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64)
    shape |= dict(vocab_size=len(tokenizer), max_position_embeddings=64)
    config = BertConfig(**shape, initializer_range=0.2)  # so that predictions differ from place to place
    save_pretrained(BertForMaskedLM(config), tokenizer, folder)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub where `me` may write, with the environment's token."""
    from huggingface_hub import constants

    with Hub() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        values = {"ENDPOINT": server.url, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_OFFLINE": False}
        for name, value in {**values, "HF_HUB_DISABLE_XET": True, "HF_HUB_CACHE": str(tmp_path / "cache")}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits before it tries again
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
