"""What makes vectors of texts: a checkpoint, a sentence encoder, an exported folder, and the floors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor, nn
from transformers import BatchEncoding
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.config.errors import UserError, one_line
from distillation.models.loading import load_tokenizer, load_trained, load_with_head
from distillation.models.sentence_encoder import find_modules
from distillation.runs.files import EXPORTED, read_json
from finetuning.deployed import checkpoint, exported_graph
from finetuning.deployed.model import open_session
from finetuning.deployed.sentence_encoder import SentenceEncoder

KEY = "model_name_or_path"
BATCH = 64
MAX_LENGTH = 128  # tokens of a sentence on the board; words are read in texts as long as the model reads
OUTPUTS = ("last_hidden_state", "sentence_embedding")
# The board does not publish its settings. These, found by trial, give its figures to the second digit.
HASHING = {
    "hashing_1000_char": HashingVectorizer(n_features=1000, analyzer="char", ngram_range=(2, 6)),
    "hashing_300": HashingVectorizer(n_features=300),
}

Run = Callable[[BatchEncoding], tuple[Tensor, Tensor]]  # states (texts, length, width), vectors (texts, dimension)


@dataclass
class Transformer:
    """A model that reads tokens, pooled by its first state and by the mean of all. own: whether it has its own way;
    pooler: that of a BERT, from states to vectors."""

    run: Run
    tokenizer: Tokenizer
    own: bool
    parameters: int
    mib: float
    pooler: nn.Module | None = None

    def sentences(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `tasks.Encoder`."""
        ways = ["cls", "mean", *["pooler"] * bool(self.pooler), *["own"] * self.own]
        pooled: dict[str, list] = {way: [None] * len(texts) for way in ways}
        length = min(MAX_LENGTH, self.tokenizer.model_max_length)
        for rows, encoded in self._batches(texts, truncation=True, max_length=length):
            states, vectors = self.run(encoded)
            read = encoded["attention_mask"][..., None]
            found = {"cls": states[:, 0], "mean": (states * read).sum(1) / read.sum(1), "own": vectors}
            if self.pooler:
                found["pooler"] = self.pooler(states)
            for way, of_way in pooled.items():
                for row, vector in zip(rows, found[way].numpy(), strict=True):
                    of_way[row] = vector
        return {way: np.stack(vectors) for way, vectors in pooled.items()}

    def words(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """See `tasks.Encoder`; zeros for words behind the end of what the model reads."""
        vectors: list = [None] * len(texts)
        for rows, encoded in self._batches(texts, truncation=True, is_split_into_words=True):
            for place, (row, states) in enumerate(zip(rows, self.run(encoded)[0].numpy(), strict=True)):
                words = encoded.word_ids(place)
                tokens = [token for token, word in enumerate(words) if word is not None]
                numbers = np.array([words[token] for token in tokens], dtype=int)
                sums = np.zeros((len(texts[row]), states.shape[-1]), dtype=np.float32)
                np.add.at(sums, numbers, states[tokens])
                counts = np.bincount(numbers, minlength=len(sums)).clip(1)
                vectors[row] = sums / counts[:, None].astype(np.float32)
        return np.concatenate(vectors)

    def _batches(self, texts: Sequence, **options) -> Iterator[tuple[list[int], BatchEncoding]]:
        """Of texts of about one length their numbers and inputs."""
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            chosen = [texts[row] if isinstance(texts[row], str) else list(texts[row]) for row in rows]
            yield rows, self.tokenizer(chosen, padding=True, return_tensors="pt", **options)


class Hashing:
    """A floor that has learned nothing: counts of n-grams, whose hashes are their places."""

    parameters, mib = 0, 0.0

    def __init__(self, vectorizer: HashingVectorizer):
        self.vectorizer = vectorizer

    def sentences(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `tasks.Encoder`."""
        return {"hashing": self.vectorizer.transform(texts).toarray().astype(np.float32)}

    def words(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """See `tasks.Encoder`."""
        return self.vectorizer.transform([word for text in texts for word in text]).toarray()


def load(name_or_path: str) -> Transformer:
    """A model of any kind. Raises UserError for what is none."""
    if graph := exported_graph(name_or_path):
        return load_exported(graph, name_or_path)
    model, tokenizer, _ = checkpoint.load_with_task(name_or_path, checkpoint.VECTORS)
    encoder = in_torch(model, tokenizer, own=find_modules(name_or_path) is not None)
    encoder.pooler = trained_pooler(model.config._name_or_path)
    return encoder


def trained_pooler(name_or_path: str) -> nn.Module | None:
    """What makes a vector of the first state of a BERT, if the checkpoint has weights of it. The board would give it
    random weights otherwise, which differ each time."""
    pooler = getattr(load_trained(transformers.AutoModel, name_or_path, KEY), "pooler", None)
    return pooler.requires_grad_(False) if type(pooler).__name__.endswith("Pooler") else None


def load_random(name_or_path: str) -> Transformer:
    """The floor of a checkpoint: its shape and tokenizer, with random weights. Raises UserError."""
    model, tokenizer, _ = checkpoint.load_with_task(name_or_path, checkpoint.VECTORS)
    torch.manual_seed(0)
    model.encoder = load_with_head(transformers.AutoModel, name_or_path, KEY, random_weights=True)
    return in_torch(model, tokenizer, False)


def in_torch(model: SentenceEncoder, tokenizer: Tokenizer, own: bool) -> Transformer:
    """A model of torch, on a GPU where there is one."""
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    @torch.inference_mode()
    def run(inputs: BatchEncoding) -> tuple[Tensor, Tensor]:
        outputs = model(**{name: values.to(model.encoder.device) for name, values in inputs.items()})
        return tuple(outputs[name].float().cpu() for name in OUTPUTS)

    return Transformer(run, tokenizer, own, model.num_parameters(), sum(w.nbytes for w in model.parameters()) / 2**20)


def load_exported(graph: Path, name_or_path: str) -> Transformer:
    """A sentence encoder in ONNX. Raises UserError for an exported model of another kind."""
    tokenizer = load_tokenizer(name_or_path, KEY, roles=("pad_token",))
    try:
        session = open_session(graph)
        names = {one.name for one in session.get_inputs()}
        if not {*OUTPUTS} <= {one.name for one in session.get_outputs()}:
            raise ValueError("it is no sentence encoder: export it with `--task feature-extraction`")
    except Exception as error:  # the runtime raises errors of its own
        raise UserError(f"`{KEY}` {name_or_path!r} cannot be scored: {one_line(error)}") from None

    def run(inputs: BatchEncoding) -> tuple[Tensor, Tensor]:
        arrays = {name: values.numpy() for name, values in inputs.items() if name in names}
        return tuple(map(torch.from_numpy, session.run(OUTPUTS, arrays)))

    exported = graph.parent / EXPORTED.name
    parameters = read_json(exported)["parameters"] if exported.exists() else 0
    return Transformer(run, tokenizer, True, parameters, graph.stat().st_size / 2**20)
