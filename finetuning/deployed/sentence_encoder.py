"""A sentence encoder as one module, from tokens to a vector, which answers and exports as any other model does."""

import logging
from typing import TYPE_CHECKING

from torch import Tensor, nn
from transformers import AutoModel
from transformers.modeling_outputs import ModelOutput

from distillation.config.errors import UserError
from distillation.models.loading import load_config
from distillation.models.sentence_encoder import find_modules, load_sentence_encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


class SentenceEncoder(nn.Module):
    """`encoder`, and what makes a vector of its states; `pooling`: `mean`, `cls`, or another of the library's."""

    def __init__(self, model: "SentenceTransformer"):
        super().__init__()
        transformer, *others = model
        self.encoder, self.others, self.config = transformer.auto_model, nn.ModuleList(others), transformer.config
        self.pooling, self.max_length = others[0].pooling_mode, model.max_seq_length

    def forward(self, **inputs: Tensor) -> ModelOutput:
        """last_hidden_state: (batch, length, width); sentence_embedding: (batch, dimension)."""
        states = self.encoder(**inputs).last_hidden_state
        features = {"token_embeddings": states, "attention_mask": inputs["attention_mask"]}
        for module in self.others:
            features = module(features)
        return ModelOutput(last_hidden_state=states, sentence_embedding=features["sentence_embedding"])

    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def set_attn_implementation(self, name: str) -> None:
        self.encoder.set_attn_implementation(name)


def has_no_head(name_or_path: str, key: str) -> bool:
    """Whether a checkpoint has no head of its own: a plain encoder, or one of sentence-transformers."""
    config = load_config(name_or_path, key)
    plain = getattr(AutoModel._model_mapping.get(type(config), None), "__name__", None)
    return plain in (config.architectures or ()) or find_modules(name_or_path) is not None


def encoder_of(name_or_path: str, key: str) -> SentenceEncoder:
    """One of sentence-transformers, or the encoder of any other checkpoint with the mean of its states.

    Raises UserError for what cannot be loaded, and for one that changes a text before its tokenizer does.
    """
    model = load_sentence_encoder(name_or_path, key)
    if getattr(model[0], "do_lower_case", False):
        raise UserError(
            f"`{key}` {name_or_path!r} has `do_lower_case`: let its tokenizer make texts lower-case instead"
        )
    if any(model.prompts.values()):
        logger.warning(
            "`%s` %r learned with prompts before texts; put them there: %s", key, name_or_path, model.prompts
        )
    return SentenceEncoder(model.eval().cpu())  # the library takes a GPU by itself
