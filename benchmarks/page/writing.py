"""Writes an exported model as a folder that answers in a browser, of the files beside this one and npm packages."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from distillation.runs.files import CARD, replacing, write_json, write_text

SOURCES = Path(__file__).parent
OWN = ("index.html", "page.css", "page.js", "views.js", "words.js", "worker.js", "answers.js", "spans.js", "tokens.js")
OWN += ("offline.js",)
PACKAGES = {  # files of npm packages, and their names in the folder
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "@huggingface/tokenizers/dist/tokenizers.min.mjs": "tokenizers.js",
    "@huggingface/tokenizers/LICENSE": "tokenizers.LICENSE",
}
WASM, RUNTIME = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm", "runtime.wasm.gz"
EXPORTED = ("model.onnx", "tokenizer.json", "config.json", "tokenizer_config.json")
PAGE = "page.json"
# What the library of the page reads of a tokenizer.json, besides sequences of these.
READABLE = {
    "normalizer": ("BertNormalizer", "Precompiled", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents")
    + ("Lowercase", "Prepend"),
    "pre_tokenizer": ("BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit", "Metaspace", "Split")
    + ("Punctuation", "Digits"),
    "model": ("WordPiece", "Unigram", "BPE"),
    "post_processor": ("TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing"),
}
NESTED = ("normalizers", "pretokenizers", "processors")
SPACE = """---
title: {title}
sdk: static
---

A model that answers in the browser. To see it on this machine, run `python -m http.server` in this folder, and open
http://localhost:8000.
"""


def check_packages(install: bool) -> None:
    """Raise UserError where the npm packages are not installed. install: do so first, by `npm ci`."""
    if install:
        _install()
    wanted = (WASM, *PACKAGES)
    if absent := [name for name in wanted if not (SOURCES / "node_modules" / name).is_file()]:
        raise UserError(
            f"`page` needs the npm packages of {SOURCES}, and {absent[0]} is not there: run `npm ci` in that folder, "
            "or give `--page_install true`"
        )


def _install() -> None:
    if absent := [name for name in ("node", "npm") if shutil.which(name) is None]:
        raise UserError(
            f"`page_install` needs {' and '.join(absent)}: install Node.js 18 or later (nodejs.org, or "
            "`apt-get install nodejs npm`), or copy node_modules from another machine"
        )
    ended = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=SOURCES, capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"`page_install`: `npm ci` in {SOURCES} failed ({one_line(ended.stderr)}): run it by hand")


def write_page(exported: Path, facts: Mapping[str, Any], folder: Path) -> int:
    """Write the page of an exported folder; returns its bytes. facts: the content of `export.json`."""
    title = exported.name
    with replacing(folder, last="index") as draft:
        draft.mkdir()
        for name in OWN:
            shutil.copyfile(SOURCES / name, draft / name)
        for name in EXPORTED:
            shutil.copyfile(exported / name, draft / name)
        for package, name in PACKAGES.items():
            shutil.copyfile(SOURCES / "node_modules" / package, draft / name)
        wasm = (SOURCES / "node_modules" / WASM).read_bytes()
        (draft / RUNTIME).write_bytes(gzip.compress(wasm, mtime=0))  # 14 MB become 4: not every server packs files
        downloads = {name: (draft / name).stat().st_size for name in (*EXPORTED, RUNTIME)}
        shown = {"title": title, "parameters": facts["parameters"], "backend": facts["backend"], "files": downloads}
        write_json(draft / PAGE, shown | {"offline": sorted(path.name for path in draft.iterdir())})
        write_text(draft / CARD, SPACE.format(title=json.dumps(title, ensure_ascii=False)))
        return sum(path.stat().st_size for path in draft.iterdir())


def check_tokenizer(content: Mapping[str, Any]) -> None:
    """Raise UserError for the content of a tokenizer.json that the library of the page does not read."""
    for part, known in READABLE.items():
        stack = [content.get(part)]
        while stack:
            one = stack.pop() or {}
            stack += [inner for name in NESTED for inner in one.get(name, ())]
            if (kind := one.get("type")) not in {*known, "Sequence", None}:
                raise UserError(f"`page`: the {part} of the tokenizer is {kind}, which its library does not read")
