// Loads the model, and answers one message after another, so that the page never waits.

import { Model } from "./answers.js";

const GZIP = [0x1f, 0x8b];
let model;

self.onmessage = async ({ data: { files, texts } }) => {
  try {
    if (files) self.postMessage({ loaded: await load(files) });
    else {
      const begun = performance.now();
      const found = await model.answer(...texts);
      const { tokens, unknown, cut } = model;
      self.postMessage({ found: { ...found, texts, tokens, unknown, cut, milliseconds: performance.now() - begun } });
    }
  } catch (error) {
    self.postMessage({ error: error?.message ?? String(error) });
  }
};

/** Load the files of `page.json`: bytes of each by name. */
async function load(files) {
  const begun = performance.now();
  const all = Object.values(files).reduce((sum, size) => sum + size, 0);
  let read = 0;
  const progress = (size) => self.postMessage({ progress: (read += size) / all });
  const names = Object.keys(files);
  const bytes = await Promise.all(names.map((name) => download(name, progress)));
  const contents = names.map((name, i) => [name.split(".")[0], name.endsWith(".json") ? json(bytes[i]) : bytes[i]]);
  model = await Model.open(Object.fromEntries(contents));
  await model.warm();
  const { kind, labels, mask, pair, several, length } = model;
  const cyrillic = model.reader.vocabulary.filter((token) => /[а-яё]/i.test(token)).length;
  const isRussian = cyrillic > model.reader.vocabulary.length / 10;
  const description = { kind, labels, mask, pair, several, length, isRussian };
  return { ...description, tokens: model.reader.vocabulary.length, milliseconds: performance.now() - begun };
}

async function download(name, progress) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  const parts = [];
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress(value.length);
  }
  const blob = new Blob(parts);
  const start = new Uint8Array(await blob.slice(0, 2).arrayBuffer()); // a server may have unpacked it
  const isPacked = GZIP.every((byte, i) => start[i] === byte);
  const stream = isPacked ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob;
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function json(content) {
  return JSON.parse(new TextDecoder().decode(content));
}
