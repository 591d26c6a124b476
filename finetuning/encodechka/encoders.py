"""What makes vectors of texts: a checkpoint, a sentence encoder of sentence-transformers, and the floors."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import transformers
from sklearn.feature_extraction.text import HashingVectorizer
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.models.loading import load_tokenizer_of, load_with_head
from distillation.models.sentence_encoder import is_sentence_encoder, load_sentence_encoder

KEY = "model_name_or_path"
BATCH = 64
MAX_LENGTH = 128  # tokens of a sentence on the board; words are read in texts as long as the model reads
# The board does not publish its settings. These, found by trial, give its figures to the second digit.
HASHING = {
    "hashing_1000_char": HashingVectorizer(n_features=1000, analyzer="char", ngram_range=(2, 6)),
    "hashing_300": HashingVectorizer(n_features=300),
}


class Checkpoint:
    """The encoder of a checkpoint, pooled by its first token and by the mean of all."""

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model, self.tokenizer = model.to(device).eval(), tokenizer
        self.parameters = model.num_parameters()
        self.mib = sum(weight.nbytes for weight in model.parameters()) / 2**20

    def sentences(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `tasks.Encoder`."""
        pooled: dict[str, list] = {"cls": [None] * len(texts), "mean": [None] * len(texts)}
        options = dict(truncation=True, max_length=min(MAX_LENGTH, self.tokenizer.model_max_length))
        for rows, states, encoded in self._read(texts, **options):
            read = encoded["attention_mask"][..., None]
            for way, own in (("cls", states[:, 0]), ("mean", (states * read).sum(1) / read.sum(1))):
                for row, vector in zip(rows, torch.nn.functional.normalize(own).cpu().numpy(), strict=True):
                    pooled[way][row] = vector
        return {way: np.stack(vectors) for way, vectors in pooled.items()}

    def words(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """See `tasks.Encoder`; zeros for words behind the end of what the model reads."""
        vectors: list = [None] * len(texts)
        for rows, states, encoded in self._read(texts, truncation=True, is_split_into_words=True):
            for place, (row, own) in enumerate(zip(rows, states.cpu().numpy(), strict=True)):
                words = encoded.word_ids(place)
                tokens = [token for token, word in enumerate(words) if word is not None]
                numbers = [words[token] for token in tokens]
                sums = np.zeros((len(texts[row]), own.shape[-1]), dtype=np.float32)
                np.add.at(sums, numbers, own[tokens])
                counts = np.bincount(numbers, minlength=len(sums)) if numbers else np.zeros(len(sums))
                vectors[row] = sums / counts.clip(1)[:, None].astype(np.float32)
        return np.concatenate(vectors)

    @torch.inference_mode()
    def _read(
        self, texts: Sequence, **options
    ) -> Iterator[tuple[list[int], torch.Tensor, transformers.BatchEncoding]]:
        """Of texts of about one length their numbers, last hidden states (texts, length, width), and encoding."""
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            chosen = [
                list(text) if options.get("is_split_into_words") else text for text in map(texts.__getitem__, rows)
            ]
            encoded = self.tokenizer(chosen, padding=True, return_tensors="pt", **options).to(self.model.device)
            yield rows, self.model(**encoded).last_hidden_state.float(), encoded


class SentenceEncoder:
    """A model of sentence-transformers, pooled as its own modules say; words are those of its encoder."""

    def __init__(self, name_or_path: str):
        self.model = load_sentence_encoder(name_or_path, KEY)
        self.encoder = Checkpoint(self.model[0].auto_model, self.model.tokenizer)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.mib = sum(weight.nbytes for weight in self.model.parameters()) / 2**20
        self.words = self.encoder.words

    def sentences(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `tasks.Encoder`."""
        options = dict(batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return {"own": self.model.encode(list(texts), **options)}


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


def load(name_or_path: str) -> Checkpoint | SentenceEncoder:
    """A model of any kind. Raises UserError for what is none."""
    if is_sentence_encoder(name_or_path):
        return SentenceEncoder(name_or_path)
    return checkpoint(name_or_path)


def checkpoint(name_or_path: str, random_weights: bool = False) -> Checkpoint:
    """The encoder of a checkpoint; with random weights the floor of its shape and tokenizer. Raises UserError."""
    torch.manual_seed(0)
    model = load_with_head(transformers.AutoModel, name_or_path, KEY, random_weights=random_weights)
    return Checkpoint(model, load_tokenizer_of(model, name_or_path, KEY))


def has_shape(name_or_path: str) -> bool:
    """Whether a model is a checkpoint, whose shape can have random weights."""
    return not is_sentence_encoder(name_or_path)
