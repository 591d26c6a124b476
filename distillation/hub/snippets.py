"""Code that shows how to use an exported model, for its folder and for the Hub."""

from collections.abc import Sequence

VECTORS, SENTENCES, CHOICE = "feature-extraction", "sentence-similarity", "multiple-choice"
CLASSIFIER = "AutoModelForSequenceClassification"
# The Hub's names of what models do, by the ends of their classes.
TASKS = {"ForMaskedLM": "fill-mask", "ForSequenceClassification": "text-classification"}
TASKS |= {"ForTokenClassification": "token-classification", "ForQuestionAnswering": "question-answering"}
TASKS |= {"ForMultipleChoice": CHOICE}
TEXT, PAIR = ("Кошка живёт в доме у реки.",), ("Кошка спит.", "Кот уснул.")
TEXTS = {"question-answering": ("Где живёт кошка?", *TEXT), CHOICE: ("Пошёл дождь.", "Дорога намокла.", "Мы спим.")}


def example(task: str, texts_at_once: int | None, mask_token: str | None) -> Sequence[str]:
    """Texts to ask a model. task: by the Hub's name; texts_at_once: that a model for labels reads."""
    if task == "fill-mask":
        return (f"Привет, как {mask_token}?",)
    if task == "text-classification" and texts_at_once == 2:
        return PAIR
    return TEXTS.get(task, TEXT)


def python(folder: str, module: str, texts: Sequence[str]) -> str:
    """Four lines that answer by `model.py`. folder: of the model; module: that holds `model.py`."""
    return f"""import sys; sys.path.append("{module}")
from model import Model
model = Model("{folder}")
print(model({_listed(texts)}))"""


def javascript(name: str, task: str, texts: Sequence[str], options: str, imports: str = "", before: str = "") -> str:
    """Four lines for transformers.js; empty where it has no such head. name: of a repository or a local folder;
    options: where the graph is, and which; imports, before: what a local folder needs."""
    if task == CHOICE:
        return ""
    source = f'from "@huggingface/transformers"; // npm install @huggingface/transformers{before}'
    if task == VECTORS or texts == PAIR:  # its pipelines read one text, and know no dense layer
        kind, output = ("AutoModel", "sentence_embedding") if task == VECTORS else (CLASSIFIER, "logits")
        pair = f"{_listed(texts[:1])}, {{ text_pair: {_listed(texts[1:])} }}" if texts == PAIR else _listed(texts)
        return f"""import {{ AutoTokenizer, {kind}{imports} }} {source}
const tokenizer = await AutoTokenizer.from_pretrained("{name}");
const model = await {kind}.from_pretrained("{name}", {options});
console.log((await model(tokenizer({pair}))).{output}.tolist());"""
    return f"""import {{ pipeline{imports} }} {source}
const ask = await pipeline("{task}", "{name}", {options});
console.log(await ask({_listed(texts)}));"""


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)
