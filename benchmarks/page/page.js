// The page: fields, examples, and the answer as one types. A worker computes, and always the latest text.

import { make, VIEWS } from "./views.js";
import { EXAMPLES, WORDS } from "./words.js";

const CHARACTERS = 20_000; // more are not read: nobody waits for them
// The smallest module with an instruction of SIMD.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const FIELDS = {
  mask: ["masked"],
  label: ["text"],
  pair: ["text", "second"],
  tags: ["text"],
  question: ["question", "context"],
  choice: ["premise", "choices"],
  vector: ["sentence", "sentences"],
};
const LISTS = ["choices", "sentences"]; // fields of one text a line

const get = (id) => document.getElementById(id);
const state = { language: navigator.language.startsWith("ru") ? "ru" : "en", model: null, facts: null };
let [worker, isBusy, isWaiting] = [null, false, false];
const words = () => WORDS[state.language];

async function start() {
  get("notice").hidden = true;
  get("language").onclick = () => speak(state.language === "ru" ? "en" : "ru");
  speak(state.language);
  if (!WebAssembly.validate(new Uint8Array(SIMD)) || !("DecompressionStream" in window)) return tell("simd");
  try {
    state.facts = await (await fetch("page.json")).json();
    document.title = get("title").textContent = state.facts.title;
    get("loading").hidden = false;
    state.model = await load(state.facts.files);
    get("loading").hidden = true;
    showFields();
    speak(state.language);
    navigator.serviceWorker?.register("offline.js").catch(() => {}); // without it the page only needs the network to load
  } catch (error) {
    get("loading").hidden = true;
    tell("failed", error.message);
  }
}

/** Start the worker; resolves to what it says of the model. */
function load(files) {
  const megabytes = words().decimal.format(sum(Object.values(files)) / 1e6);
  worker = new Worker("worker.js", { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message ?? "worker.js"));
    worker.onmessage = ({ data: { progress, loaded, error } }) => {
      if (error) reject(new Error(error));
      if (loaded) resolve(loaded);
      if (progress === undefined) return;
      get("progress").value = progress;
      get("loading-text").textContent = progress < 1 ? words().loading(Math.floor(100 * progress), megabytes) : words().starting;
    };
    worker.postMessage({ files });
  });
}

/** Show all words of the page in a language. */
function speak(language) {
  state.language = document.documentElement.lang = language;
  get("language").textContent = words().other;
  get("language").lang = language === "ru" ? "en" : "ru";
  const { model, facts } = state;
  if (!model) return;
  get("task").textContent = words().task[model.kind];
  document.querySelectorAll("[data-word]").forEach((one) => {
    one.textContent = words().field[one.dataset.word] ?? words()[one.dataset.word];
    one.title = words()[`${one.dataset.word}Help`] ?? "";
  });
  showFacts(model, facts);
  if (state.found) show(state.found);
  else if (state.found === null) showNothing();
}

function showFacts(model, facts) {
  const { decimal, number, parameters, megabytes, here, about } = words();
  const size = (bytes) => decimal.format(bytes / 1e6);
  const { "model.onnx": own, "runtime.wasm.gz": runtime, ...rest } = facts.files;
  const millions = size(facts.parameters);
  get("facts").replaceChildren(...[parameters(millions), megabytes(size(own)), here].map((one) => make("li", { textContent: one })));
  const values = { model: size(own), runtime: size(runtime), rest: size(sum(Object.values(rest))), parameters: millions };
  values.seconds = decimal.format(model.milliseconds / 1000);
  values.precision = facts.backend.endsWith("int8") ? "int8" : "fp32";
  Object.assign(values, { vocabulary: number.format(model.tokens), length: number.format(model.length) });
  const lines = about.map(([title, text]) => {
    const shown = text.call ? text(values) : text;
    return make("div", {}, make("dt", { textContent: title }), make("dd", { textContent: shown }));
  });
  get("about").replaceChildren(make("dl", {}, ...lines));
  get("about").hidden = false;
}

/** The fields of this kind of model, filled with its first example. */
function showFields() {
  const kind = state.model.pair ? "pair" : state.model.kind;
  const examples = EXAMPLES[state.model.isRussian ? "ru" : "en"][kind];
  const fields = FIELDS[kind].map((name) => {
    const rows = name === "question" ? 1 : LISTS.includes(name) ? 3 : 2;
    const field = make("textarea", { id: name, name, rows, spellcheck: false, autocomplete: "off", oninput: ask });
    const label = make("label", { htmlFor: name });
    label.dataset.word = name;
    return make("div", { className: "field" }, label, field);
  });
  if (kind === "mask") fields[0].prepend(hideButton());
  const chips = examples.map((values) => {
    const shown = values[0].replaceAll("~", "___");
    return make("li", {}, make("button", { type: "button", className: "chip", textContent: shown, onclick: () => fill(values) }));
  });
  const title = make("p", { className: "hint" });
  title.dataset.word = "examples";
  get("form").replaceChildren(...fields, title, make("ul", { className: "chips" }, ...chips));
  get("form").onsubmit = () => false;
  get("form").hidden = get("result").hidden = false;
  get("answer").classList.add(kind);
  fill(examples[0]);
}

function hideButton() {
  const button = make("button", { type: "button", className: "quiet", onclick: hideWord });
  button.dataset.word = "hide";
  document.addEventListener("keydown", (event) => {
    if (event.altKey && event.code === "KeyH") {
      event.preventDefault();
      hideWord();
    }
  });
  return button;
}

/** Replace the selected word, or the one at the cursor, with the mask. */
function hideWord() {
  const field = get("masked");
  let [start, end] = [field.selectionStart, field.selectionEnd];
  const isWord = (at) => /[\p{L}\p{N}]/u.test(field.value[at] ?? "");
  if (start === end) {
    while (isWord(start - 1)) start--;
    while (isWord(end)) end++;
  }
  replace(start, end, state.model.mask);
  field.focus();
}

/** Replace characters of the first field. */
function replace(start, end, text) {
  const field = document.querySelector("#form textarea");
  field.setRangeText(text, start, end, "end");
  ask();
}

function fill(values) {
  [...get("form").elements].filter((one) => one.name).forEach((field, i) => (field.value = values[i].replaceAll("~", state.model.mask)));
  ask();
}

/** The texts of the fields as the model takes them; null where one is empty. */
function texts() {
  const fields = [...get("form").elements].filter((one) => one.name);
  const found = fields.flatMap(({ name, value }) => {
    const cut = value.slice(0, CHARACTERS);
    return LISTS.includes(name) ? cut.split("\n").filter((line) => line.trim()) : [cut];
  });
  return found.length < fields.length || found.some((one) => !one.trim()) ? null : found;
}

/** Answer what the fields hold now, after what is being answered. */
function ask() {
  isWaiting = isBusy;
  if (isBusy) return;
  const wanted = texts();
  if (!wanted) return showNothing();
  isBusy = true;
  const late = setTimeout(() => (get("status").textContent = words().busy), 300);
  worker.onmessage = ({ data: { found, error } }) => {
    clearTimeout(late);
    isBusy = false;
    if (error) get("status").textContent = error;
    else show(found);
    if (isWaiting) ask();
  };
  worker.postMessage({ texts: wanted });
}

function show(found) {
  if (!state.found) get("answer").replaceChildren();
  state.found = get("answer").found = found;
  VIEWS[state.model.kind](get("answer"), found, { words: words(), model: state.model, replace });
  const { milliseconds, tokens, unknown, cut, long, number } = words();
  const parts = [milliseconds(number.format(Math.round(found.milliseconds))), tokens(found.tokens)];
  if (found.unknown) parts.push(unknown(found.unknown));
  if (found.cut) parts.push(cut(state.model.length));
  if ([...get("form").elements].some((one) => one.value.length > CHARACTERS)) parts.push(long(number.format(CHARACTERS)));
  get("status").textContent = parts.join(" · ");
}

function showNothing() {
  state.found = get("answer").found = null;
  get("status").textContent = "";
  get("answer").replaceChildren(make("p", { className: "note", textContent: words().empty }));
}

/** Say why there are no answers. */
function tell(word, ...values) {
  const text = words()[word];
  get("notice").replaceChildren(make("p", { textContent: text.call ? text(...values) : text }));
  get("notice").classList.remove("late");
  get("notice").hidden = false;
}

function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

start();
