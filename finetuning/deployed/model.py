"""Answers of an exported model: a label, entities, an answer, a choice, the words behind [MASK], or a vector.

    model = Model("folder")
    model("Текст")                         # an answer is a dictionary
    model("Вопрос?", "Контекст")           # of a model that reads two texts
    model.batch([("Текст",), ("Ещё",)])    # many at once

python folder/model.py "Текст"             # prints the answer

This file stands alone: it needs numpy, onnxruntime, and tokenizers, and executes nothing that the folder holds.
Characters are those of the text as given. Long texts are read through windows, or cut (label, choice, vector)."""

import json
import re
import sys
import unicodedata
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

LABEL, TAGS, QUESTION, CHOICE, MASK, VECTOR = KINDS = ("label", "tags", "question", "choice", "mask", "vector")
HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice", "MaskedLM", "Model")
TEXTS = dict(zip(KINDS, ((1, 2), (1, 1), (2, 2), (3, 99), (1, 1), (1, 1)), strict=True))  # how many it reads at once
GRAPHS = ("model.onnx", "onnx/model_quantized.onnx", "onnx/model.onnx")  # in a folder, and in a repository of the Hub
PROCESSOR = Path("/proc/cpuinfo")  # of Linux; elsewhere int8 is run precisely
ARRAYS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}  # of an encoding
FLOATS = 2**26  # of the logits of a batch: a vocabulary has 100,000 a token
N_BEST, MAX_ANSWER_TOKENS = 20, 60  # as SQuAD's baselines; twice their 30, since a small vocabulary cuts words finer
OUTSIDE, CONTINUING = "O", ("I", "E", "L", "M")  # of BIO; of BIOES, BILOU, and BMES
INVISIBLE = r"\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # of no word: BERT drops them
WORD = re.compile(rf"[\w\u0300-\u036f]+|[^\w\s{INVISIBLE}]")  # with accents and decomposed letters
Window = namedtuple("Window", "input offsets")  # offsets: (length, 2), characters behind each token; equal ends: none
Place = namedtuple("Place", "input token shared")  # of a word; shared: with an earlier word, whose place it is


class Model:
    """An exported folder. kind: one of KINDS; labels: of classes or tags; cut: how many texts it has cut so far."""

    def __init__(self, folder: str | Path, threads: int = 0):
        """threads: of one answer; 0: as many as there are cores. Raises OSError or ValueError for no such folder."""
        self.tokenizer, self.config, self.run, self.inputs = self.open(folder, threads)
        head = (self.config.get("architectures") or ["model without a head"])[0]
        if not head.endswith(HEADS):
            raise ValueError(f"it is a {head}, and not for {', '.join(HEADS)}")
        self.kind = next(kind for kind, end in zip(KINDS, HEADS, strict=True) if head.endswith(end))
        learned = self.kind == LABEL and self.config.get("texts_at_once")  # of another kind: of an earlier task
        self.texts, self.whole = (learned,) * 2 if learned else TEXTS[self.kind], self.kind in (LABEL, CHOICE, VECTOR)
        names = self.config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        self.labels = [names[number] for number in sorted(names, key=int)]
        self.thresholds = dict.fromkeys(self.labels, 0.5) | (self.config.get("thresholds") or {})
        self.width = self.config["vocab_size"] if self.kind == MASK else len(self.labels)
        self.mask, way = self.tokenizer.token_to_id(self.config.get("mask_token") or ""), "longest_first"
        self.padding, self.cut, length = self.config.get("pad_token_id") or 0, 0, int(self.config["model_max_length"])
        if self.kind == QUESTION:  # it stands before each window of its context, and takes at most half of it
            self.questions, way = type(self.tokenizer).from_str(self.tokenizer.to_str()), "only_second"
            self.questions.enable_truncation(length // 2 - 4)
        self.tokenizer.enable_truncation(length, stride=0 if self.whole else length // 3, strategy=way)
        self.tokenizer.no_padding()

    def open(self, folder: str | Path, threads: int) -> tuple:
        """A `tokenizers.Tokenizer`, both configs as one, a function from arrays to outputs, the arrays' names."""
        from tokenizers import Tokenizer

        configs = [json.loads(Path(folder, f"{of}config.json").read_text("utf-8")) for of in ("", "tokenizer_")]
        graph = next(filter(Path.exists, (Path(folder, name) for name in GRAPHS)), None)
        if graph is None:
            raise FileNotFoundError(f"{folder} has no {GRAPHS[0]}: export the checkpoint by benchmarks/export.py")
        session = open_session(graph, threads)
        outputs = [one.name for one in session.get_outputs() if one.name != "last_hidden_state"]
        run, names = lambda arrays: session.run(outputs, arrays), [one.name for one in session.get_inputs()]
        return Tokenizer.from_file(f"{folder}/tokenizer.json"), configs[0] | configs[1], run, names

    def __call__(self, *texts: str) -> dict:
        """The answer for a text, for two, or for a text and its choices."""
        return self.batch([texts])[0]

    def batch(self, rows: Iterable[str | Sequence[str]], batch_size: int = 32) -> list[dict]:
        """The answer for each text, or row of texts. Inputs of like length are run together, at most `batch_size`:
        in int8 a score depends a little on others. Raises ValueError for a row of too few or too many texts, and
        TypeError for what is no text."""
        rows = [(row,) if isinstance(row, str) else row for row in rows]
        if wrong := [type(text).__name__ for row in rows for text in row if not isinstance(text, str)]:
            raise TypeError(f"a text is a str, and not a {wrong[0]}; of many texts `batch` takes a list")
        rows = [[text.encode("utf-8", "replace").decode() for text in row] for row in rows]  # half an emoji is none
        if not all(self.texts[0] <= len(row) <= self.texts[1] for row in rows):
            raise ValueError(f"texts that the model reads at once: {' to '.join(map(str, sorted({*self.texts})))}")
        inputs, windows = self._encode(rows)
        logits, answer = self._logits(inputs, batch_size), getattr(self, f"_{self.kind}")
        return [answer(row, parts, logits) for row, parts in zip(rows, windows, strict=True)]

    def _encode(self, rows: Sequence[list[str]]) -> tuple[list, list[list[Window]]]:
        """The encodings of all inputs, and the windows of each row; a choice is an input."""
        if self.kind == QUESTION:
            found = self.questions.encode_batch([question for question, _ in rows], add_special_tokens=False)
            ends = [one.offsets[-1][1] if one.overflowing else None for one in found]
            rows = [[question[:end], context] for (question, context), end in zip(rows, ends, strict=True)]
        texts = [(number, one) for number, row in enumerate(rows) for one in [(row[0], two) for two in row[1:]] or row]
        inputs, windows = [], [[] for _ in rows]
        for (number, _), encoding in zip(texts, self.tokenizer.encode_batch([one for _, one in texts]), strict=True):
            self.cut += self.whole and bool(encoding.overflowing)
            parts = [encoding] if self.whole else [encoding, *encoding.overflowing]
            for part in [one for one in parts if self.mask in one.ids] if self.kind == MASK else parts:
                read = np.array(part.sequence_ids)[:, None] == (self.kind == QUESTION)
                windows[number].append(Window(len(inputs), None if self.whole else np.array(part.offsets) * read))
                inputs.append(part)
        return inputs, windows

    def _logits(self, inputs: Sequence, batch_size: int) -> list:
        """The logits of each input, padding included; of a masked LM the best guesses by mask."""
        kept, order = [None] * len(inputs), sorted(range(len(inputs)), key=lambda number: -len(inputs[number]))
        axes = (1,) if self.kind == CHOICE else ()  # each choice as the only one
        while order:
            length = len(inputs[order[0]])
            size = max(1, min(batch_size, FLOATS // (self.width * length)))
            chosen, order = order[:size], order[size:]
            for number in chosen:
                inputs[number].pad(length, pad_id=self.padding)
            lists = {name: [getattr(inputs[number], ARRAYS[name]) for number in chosen] for name in self.inputs}
            outputs = self.run({name: np.expand_dims(np.int64(values), axes) for name, values in lists.items()})
            for row, number in enumerate(chosen):
                kept[number] = np.stack([one[row] for one in outputs], -1) if len(outputs) > 1 else outputs[0][row]
                if self.kind == MASK:
                    tokens = [token for token, one in enumerate(inputs[number].ids) if one == self.mask]
                    kept[number] = {token: self._guesses(outputs[0][row, token]) for token in tokens}
        return kept

    def _guesses(self, logits: np.ndarray) -> list[dict]:
        shares = softmax(logits)
        best = sorted(np.argpartition(-shares, 5)[:5].tolist(), key=lambda token: -shares[token])
        return [{"token": self.tokenizer.decode([token]), "score": float(shares[token])} for token in best]

    def _label(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        own, problem = logits[windows[0].input].astype(np.float64), self.config.get("problem_type")
        several = problem == "multi_label_classification"
        shares = 1 / (1 + np.exp(-own)) if several or len(own) == 1 else softmax(own)
        shares = own if problem == "regression" else shares  # the answer is a number
        scores = dict(zip(self.labels, shares.tolist(), strict=True))
        best, passing = max(scores, key=scores.get), [name for name in scores if scores[name] >= self.thresholds[name]]
        return ({"labels": passing} if several else {"label": best, "score": scores[best]}) | {"scores": scores}

    def _vector(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        return {"vector": logits[windows[0].input].tolist()}

    def _choice(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        shares = softmax(np.concatenate([logits[window.input] for window in windows]))
        return {"choice": int(shares.argmax()), "score": float(shares.max()), "scores": shares.tolist()}

    def _tags(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        words = [match.span() for match in WORD.finditer(texts[0])]
        return {"entities": read_tags(texts[0], words, word_places(words, windows), logits, self.labels)[2]}

    def _question(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        spans = best_spans(windows, logits, self.config.get("may_have_no_answer", False))
        best = (rank(texts[1], spans) or [answer("", 0, 0, 0.0)])[0]
        return {"answer": best.pop("text"), **best}

    def _mask(self, texts: list[str], windows: list[Window], logits: list) -> dict:
        (text,), masks = texts, []
        spans = sorted({tuple(one.offsets[token].tolist()) for one in windows for token in logits[one.input]})
        for (start, end), place in reversed(list(zip(spans, word_places(spans, windows), strict=True))):
            masks.insert(0, logits[place.input][place.token])
            start = end - len(text[start:end].lstrip())  # RoBERTa's mask takes the space before it
            text = text[:start] + masks[0][0]["token"].removeprefix("##").strip() + text[end:]
        return {"filled": text, "masks": masks}


def open_session(model: str | Path | bytes, threads: int = 0):
    """An `onnxruntime.InferenceSession` on the CPU that is right in int8 on any processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    if not PROCESSOR.exists() or "vnni" not in PROCESSOR.read_text():  # without VNNI int8 overflows
        options.add_session_config_entry("session.x64quantprecision", "1")  # with it this takes longer
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in double precision."""
    shares = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits, -1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def word_places(words: Sequence[Sequence[int]], windows: Sequence[Window]) -> list[Place | None]:
    """The place of each word of a text: its first token, in the window with most tokens around it (it may start inside
    of a word). words: (start, end) of each, in order. Bytes share a character, and words may share a token."""
    starts, ends = np.array(words, dtype=int).reshape(-1, 2).T
    best: list[tuple] = [((-np.inf,), None)] * len(words)
    for window in windows:
        read = np.flatnonzero(window.offsets[:, 0] < window.offsets[:, 1])
        begins, stops = np.append(window.offsets[read], [[ends.max(initial=0)] * 2], 0).T  # one more, behind all words
        first = np.searchsorted(stops[:-1], starts, side="right")  # the first token that ends behind a word's start
        inside = begins[first] < ends
        shared = np.append(False, inside[:-1] & (first[1:] == first[:-1]))
        for word in np.flatnonzero(inside).tolist():
            token = int(read[first[word]])
            order = -begins[first[word]], min(token, len(window.offsets) - 1 - token), -window.input
            best[word] = max(best[word], (order, Place(window.input, token, bool(shared[word]))))
    return [place for _, place in best]


def read_tags(text: str, words: Sequence, places: Sequence, logits: Sequence, labels: Sequence[str]) -> tuple:
    """The likeliest tag of each word, its probability, and the entities in characters, with the mean of these. A word
    without a place is outside; one that shares its token continues the entity of the word before it.
    words: (start, end) of each; places: by `word_places`; logits: (length, labels) of each input."""
    tags, scores = [OUTSIDE] * len(places), np.ones(len(places))
    read = [word for word, place in enumerate(places) if place]
    own = np.array([logits[places[word].input][places[word].token] for word in read]).reshape(-1, len(labels))
    for word, shares in zip(read, softmax(own), strict=True):
        tag, scores[word] = labels[shares.argmax()], shares.max()
        tags[word] = f"I-{type_of(tag)}" if places[word].shared and tag != OUTSIDE else tag
    spans = [(one, words[i][0], words[j - 1][1], float(scores[i:j].mean())) for one, i, j in tag_spans(tags)]
    found = [{"type": one, "start": i, "end": j, "text": text[i:j], "score": score} for one, i, j, score in spans]
    return tags, scores, found


def tag_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of BIO tags in their order: type, first word, the word after the last. An `I-` that follows no tag of
    its type starts one, as in the CoNLL scorer: models predict such tags, and older IOB1 files consist of them. A type
    alone, such as PER, is `I-PER`."""
    spans: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags):
        prefix, kind = tag.split("-")[0] if "-" in tag or tag == OUTSIDE else CONTINUING[0], type_of(tag)
        if prefix in CONTINUING and spans and spans[-1][0] == kind and spans[-1][2] == place:
            spans[-1] = (kind, spans[-1][1], place + 1)
        elif prefix != OUTSIDE:
            spans.append((kind, place, place + 1))
    return spans


def type_of(tag: str) -> str:
    """PER of `B-PER`, and of PER."""
    return tag.split("-", 1)[-1]


def best_spans(windows: Sequence[Window], logits: Sequence, no_answer: bool = False) -> dict[tuple[int, int], float]:
    """The N_BEST spans of characters by the score of their first and last token, over all windows of a context: of all
    pairs less than MAX_ANSWER_TOKENS apart. logits: (length, 2) of each input; no_answer: whether there may be none,
    which is the span (0, 0) and the first token of every window."""
    spans: dict[tuple[int, int], float] = {}
    for number, offsets in windows:
        read = np.flatnonzero(offsets[:, 0] < offsets[:, 1])  # none of a context that is empty, or dropped
        first, last = (read[one] for one in np.nonzero(np.triu(np.tri(len(read), k=MAX_ANSWER_TOKENS - 1))))
        totals = logits[number][first, 0].astype(np.float64) + logits[number][last, 1]
        for one in np.argsort(-totals, kind="stable")[:N_BEST]:
            span = int(offsets[first[one], 0]), int(offsets[last[one], 1])
            spans[span] = max(spans.get(span, -np.inf), float(totals[one]))
    if no_answer:  # every window must say so
        spans[0, 0] = min(float(logits[number][0].sum()) for number, _ in windows)
    return spans


def rank(context: str, spans: Mapping[tuple[int, int], float]) -> list[dict]:
    """The N_BEST of scored spans as answers, the best first; `score` is a share of theirs."""
    ranked = sorted(spans, key=spans.get, reverse=True)[:N_BEST]
    shares = softmax(np.array([spans[span] for span in ranked])).tolist() if ranked else []
    return [answer(context, *span, share) for span, share in zip(ranked, shares, strict=True)]


def answer(context: str, start: int, end: int, score: float) -> dict:
    """A span of the context without the white space at its ends, which tokens of some tokenizers include."""
    while unicodedata.combining(context[end : end + 1] or " "):  # of a decomposed letter a tokenizer counts the base
        end += 1
    start, text = end - len(context[start:end].lstrip()), context[start:end].strip()
    return {"text": text, "start": start, "end": start + len(text), "score": score}


if __name__ == "__main__":
    print(json.dumps(Model(Path(__file__).parent)(*sys.argv[1:] or sys.exit(__doc__)), ensure_ascii=False))
