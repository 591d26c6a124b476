"""The README of a folder to deploy: what it holds, and how to use it."""

from collections.abc import Mapping
from typing import Any

from distillation.hub.card import OF_CLASS
from distillation.hub.snippets import example, javascript, python
from distillation.runs.files import markdown_table

TASKS = {
    "fill-mask": "fills in hidden words",
    "text-classification": "labels a text",
    "token-classification": "finds entities in a text",
    "question-answering": "finds the answer to a question in a text",
    "multiple-choice": "chooses the continuation of a text",
    "feature-extraction": "turns a text into a vector",
}
FILES = {
    "config.json": "task, labels, thresholds, limits",
    "model.onnx": "for ONNX Runtime",
    "model.py": "from texts to answers in Python",
    "openvino_model.bin": "weights for OpenVINO",
    "openvino_model.xml": "for OpenVINO",
    "tokenizer.json": "for `tokenizers` and transformers.js",
    "tokenizer_config.json": "settings of the tokenizer",
}
# transformers.js looks for `onnx/model_quantized.onnx` unless it is told otherwise.
LOCAL = '{ subfolder: "", model_file_name: "model", dtype: "fp32" }'
SETTINGS = '\nObject.assign(env, { localModelPath: ".", allowRemoteModels: false }); // the folder that holds this one'
SERVERS = """Its graph gives `last_hidden_state`, and then `sentence_embedding`: {dimension} numbers by `{pooling}`
pooling, and what follows it in the checkpoint. text-embeddings-inference takes `sentence_embedding` (give it
`--pooling {pooling}`). fastembed and the pipelines of transformers.js take the first, and pool it themselves."""


def readme(found: Mapping[str, Any], config: Mapping[str, Any], folder: str) -> str:
    """The text. found: the content of `export.json`; config: of `config.json`; folder: its name."""
    task, sizes = config["task"], found["bytes"]
    texts = example(task, config.get("texts_at_once"), config["mask_token"])
    about = f"It {TASKS[task]} (`{task}`), {config['model_max_length']:,} tokens at once"
    if "classification" in task:
        about += f", with the labels {', '.join(f'`{label}`' for label in config['id2label'].values())}"
    parts = [f"# {folder}", f"{about}. {_checked(found)}"]
    if "model.py" in sizes:
        code = python(folder, folder, texts)
        parts += [
            f"In Python it needs three packages: `pip install numpy onnxruntime tokenizers`.\n\n```python\n{code}\n```"
        ]
        if script := javascript(folder, task, texts, LOCAL, ", env", SETTINGS):
            parts += [f"In JavaScript (a browser needs the folder on a server):\n\n```js\n{script}\n```"]
    if "dimension" in found:
        parts += [SERVERS.format(dimension=found["dimension"], pooling=config["pooling"])]
    rows = [[f"`{name}`", f"{size / 1e3:,.1f}", FILES.get(name, "")] for name, size in sizes.items()]
    return "\n\n".join([*parts, markdown_table(["file", "kB", ""], rows)]) + "\n"


def _checked(found: Mapping[str, Any]) -> str:
    """How far it is from the original."""
    text = f"Compared with PyTorch, {found['agreement']:.2%} of {found['compared']} agree"
    figures = [
        f"{name} {found['exported'][name]:.4f} ({value:.4f} in PyTorch)"
        for name, value in found.get("pytorch", {}).items()
        if isinstance(value, float) and not name.endswith(OF_CLASS)
    ]
    if "cosine" in found:
        figures = [f"cosines of both {found['cosine']:.4f} on average, {found['least_cosine']:.4f} at least"]
    return f"{'; '.join([text, *figures])} (`{found['backend']}`, `export.json`)."
