// Answers of an exported model in a browser: the same as those of finetuning/deployed/model.py, which it mirrors.

import * as ort from "./ort.js";
import { bestSpans, places, rank, readTags, WORD } from "./spans.js";
import { Reader } from "./tokens.js";

const KINDS = {
  SequenceClassification: "label",
  TokenClassification: "tags",
  QuestionAnswering: "question",
  MultipleChoice: "choice",
  MaskedLM: "mask",
  Model: "vector",
};
const GUESSES = 5;

export class Model {
  /** The content of the files of a folder: objects of JSON, and bytes of `model` and `runtime`. */
  static async open({ tokenizer, tokenizer_config, config, model, runtime }) {
    Object.assign(ort.env.wasm, { wasmBinary: runtime, numThreads: 1 });
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    return new Model(new Reader(tokenizer, tokenizer_config), { ...config, ...tokenizer_config }, session);
  }

  constructor(reader, config, session) {
    const head = config.architectures?.[0] ?? "model without a head";
    const kind = KINDS[Object.keys(KINDS).find((end) => head.endsWith(end))];
    if (!kind) throw new Error(`it is a ${head}`);
    Object.assign(this, { reader, session, kind, vectors: new Map() });
    const names = config.id2label ?? { 0: "LABEL_0", 1: "LABEL_1" };
    this.labels = Object.keys(names).sort((a, b) => a - b).map((number) => names[number]);
    this.several = config.problem_type === "multi_label_classification";
    this.regression = config.problem_type === "regression"; // the answer is a number
    this.noAnswer = config.may_have_no_answer ?? false;
    this.thresholds = this.labels.map((label) => config.thresholds?.[label] ?? 0.5);
    this.mask = config.mask_token;
    this.length = config.model_max_length;
    this.pair = kind === "label" && config.texts_at_once === 2;
  }

  /** The answer for a text, for two, or for a text and others to choose from; with the tokens that were read. */
  answer(...texts) {
    Object.assign(this, { tokens: 0, unknown: 0, cut: false });
    return this[`_${this.kind}`](...texts.map((text) => text.toWellFormed?.() ?? text)); // half an emoji is none
  }

  /** The first run takes longer: it reserves memory. */
  warm() {
    return this._run(this.reader.encode(this.reader.read("1")));
  }

  /** Run one input of {ids, types}; its outputs by name, each a list of rows. */
  async _run({ ids, types }) {
    this.tokens += ids.length;
    this.unknown += ids.filter((id) => id === this.reader.unknownId).length;
    const shape = this.kind === "choice" ? [1, 1, ids.length] : [1, ids.length];
    const inputs = { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: types };
    const tensor = (name) => new ort.Tensor("int64", BigInt64Array.from(inputs[name], BigInt), shape);
    const feeds = Object.fromEntries(this.session.inputNames.map((name) => [name, tensor(name)]));
    const wanted = this.session.outputNames.filter((name) => name !== "last_hidden_state");
    const outputs = await this.session.run(feeds, wanted);
    return Object.fromEntries(Object.entries(outputs).map(([name, { data, dims }]) => [name, rows(data, dims.at(-1))]));
  }

  /** Run a text, or two, cut to what the model reads at once. */
  _runWhole(...texts) {
    const read = texts.map((text) => this.reader.read(text));
    const space = this.length - this.reader.special[texts.length - 1];
    const lengths = read.length > 1 ? cutPair(...read.map((one) => one.length), space) : [space];
    this.cut ||= read.some((one, i) => one.length > lengths[i]);
    return this._run(this.reader.encode(...read.map((one, i) => one.slice(0, lengths[i]))));
  }

  /** Run a text through windows that overlap, with `before` in front of each: [{tokens, start, size, outputs}]. */
  async _runWindows(text, before = null) {
    const read = this.reader.read(text);
    const question = before === null ? null : this.reader.read(before).slice(0, Math.floor(this.length / 2) - 4);
    const size = this.length - this.reader.special[question ? 1 : 0] - (question?.length ?? 0);
    const step = Math.max(1, size - Math.floor(this.length / 3));
    const windows = [];
    for (let from = 0; from === 0 || from + size - step < read.length; from += step) {
      const tokens = read.slice(from, from + size);
      const input = question ? this.reader.encode(question, tokens) : this.reader.encode(tokens);
      const start = input.starts[question ? 1 : 0];
      const isRead = this.kind !== "mask" || tokens.some(({ token }) => token === this.mask);
      if (isRead) windows.push({ tokens, start, size: input.ids.length, outputs: await this._run(input) });
    }
    return windows;
  }

  async _label(...texts) {
    const [logits] = (await this._runWhole(...texts)).logits;
    const independent = this.several || logits.length === 1;
    const sigmoids = () => Array.from(logits, (one) => 1 / (1 + Math.exp(-one)));
    const shares = this.regression ? [...logits] : independent ? sigmoids() : softmax(logits);
    const scores = this.labels.map((label, i) => ({ label, score: shares[i], threshold: this.thresholds[i] }));
    const best = shares.indexOf(Math.max(...shares));
    return { scores, labels: this.labels.filter((_, i) => (this.several ? shares[i] >= this.thresholds[i] : i === best)) };
  }

  async _choice(text, ...choices) {
    const logits = [];
    for (const choice of choices) logits.push((await this._runWhole(text, choice)).logits[0][0]);
    const scores = softmax(logits);
    return { choice: scores.indexOf(Math.max(...scores)), scores };
  }

  async _tags(text) {
    const words = [...text.matchAll(WORD)].map((found) => [found.index, found.index + found[0].length]);
    const windows = await this._runWindows(text);
    return { entities: readTags(text, words, places(words, windows), windows, this.labels, softmax) };
  }

  async _question(question, context) {
    const spans = bestSpans(await this._runWindows(context, question), this.noAnswer);
    return rank(context, spans, softmax)[0] ?? { text: "", start: 0, end: 0, score: 0 };
  }

  async _mask(text) {
    const windows = await this._runWindows(text);
    const words = occurrences(text, this.mask);
    const masks = places(words, windows).map((place, i) => {
      const guesses = place ? this._guesses(windows[place.input].outputs.logits[place.token]) : [];
      return { start: words[i][0], end: words[i][1], guesses };
    });
    return { masks };
  }

  _guesses(logits) {
    const shares = softmax(logits);
    const best = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, GUESSES);
    return best.map((id) => ({ token: this.reader.text(id), continues: this.reader.continues(id), score: shares[id] }));
  }

  async _vector(text, ...others) {
    const own = await this._vectorOf(text);
    const scores = [];
    for (const other of others) scores.push(cosine(own, await this._vectorOf(other, true)));
    return { vector: Array.from(own), scores };
  }

  async _vectorOf(text, keep = false) {
    const vector = this.vectors.get(text) ?? (await this._runWhole(text)).sentence_embedding[0];
    if (keep) this.vectors.set(text, vector);
    return vector;
  }
}

function occurrences(text, part) {
  const found = [];
  for (let at = text.indexOf(part); part && at >= 0; at = text.indexOf(part, at + part.length)) found.push([at, at + part.length]);
  return found;
}

function rows(data, width) {
  return Array.from({ length: data.length / width }, (_, i) => data.slice(i * width, (i + 1) * width));
}

/** Tokens that are left of two texts: the longer one is cut first. */
function cutPair(first, second, space) {
  if (first + second <= space) return [first, second];
  const shorter = Math.min(first, second, Math.floor(space / 2));
  return first > second ? [space - shorter, shorter] : [shorter, space - shorter];
}

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const shares = Array.from(logits, (one) => Math.exp(one - most));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((one) => one / sum);
}

function cosine(one, other) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
}
