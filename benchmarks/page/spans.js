// From the logits of tokens to spans of characters. It mirrors the functions of finetuning/deployed/model.py.
//
// A window: {tokens: [{start, end}], start: of these in the input, size: of the input, outputs: rows by name}.

const N_BEST = 20;
const MAX_ANSWER_TOKENS = 60;
const CONTINUING = ["I", "E", "L", "M"];
const INVISIBLE = "\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff";
export const WORD = new RegExp(`[\\p{L}\\p{N}_\\u0300-\\u036f]+|[^\\p{L}\\p{N}_\\s${INVISIBLE}]`, "gu");

/** Where each word is read: its first token, in the window with most tokens around it; null for none. */
export function places(words, windows) {
  const best = words.map(() => null);
  windows.forEach(({ tokens, start, size }, input) => {
    const read = tokens.map((one, i) => ({ ...one, token: start + i })).filter((one) => one.start < one.end);
    let [first, before] = [0, -1];
    words.forEach(([from, to], word) => {
      while (first < read.length && read[first].end <= from) first++;
      const inside = first < read.length && read[first].start < to;
      const shared = inside && before === first;
      before = inside ? first : -1;
      if (!inside) return;
      const { token, start: begin } = read[first];
      // Earlier in the text before more around it: a window may start in the middle of a word.
      const order = [-begin, Math.min(token, size - 1 - token), -input];
      if (!best[word] || isGreater(order, best[word].order)) best[word] = { order, input, token, shared };
    });
  });
  return best;
}

function isGreater(one, other) {
  const place = one.findIndex((value, i) => value !== other[i]);
  return place >= 0 && one[place] > other[place];
}

/** The entities of a text, with the mean of their words' probabilities. */
export function readTags(text, words, places, windows, labels, softmax) {
  const scores = words.map(() => 1);
  const tags = places.map((place, word) => {
    if (!place) return "O";
    const shares = softmax(windows[place.input].outputs.logits[place.token]);
    const tag = labels[shares.indexOf(Math.max(...shares))];
    scores[word] = Math.max(...shares);
    return place.shared && tag !== "O" ? `I-${typeOf(tag)}` : tag;
  });
  return tagSpans(tags).map(([type, first, stop]) => {
    const [start, end] = [words[first][0], words[stop - 1][1]];
    const score = scores.slice(first, stop).reduce((a, b) => a + b, 0) / (stop - first);
    return { type, start, end, text: text.slice(start, end), score };
  });
}

/** The spans of BIO tags: type, first word, the word after the last. */
function tagSpans(tags) {
  const spans = [];
  tags.forEach((tag, place) => {
    const [prefix, type] = [tag.includes("-") || tag === "O" ? tag.split("-", 1)[0] : "I", typeOf(tag)];
    const last = spans.at(-1);
    if (CONTINUING.includes(prefix) && last?.[0] === type && last[2] === place) last[2]++;
    else if (prefix !== "O") spans.push([type, place, place + 1]);
  });
  return spans;
}

/** PER of `B-PER`, and of PER. */
function typeOf(tag) {
  return tag.slice(tag.indexOf("-") + 1);
}

/** The best spans of a context: [start, end, score]. noAnswer: whether there may be none, which is (0, 0). */
export function bestSpans(windows, noAnswer) {
  const spans = new Map();
  const add = (start, end, score) => {
    const old = spans.get(`${start} ${end}`);
    if (!old || old[2] < score) spans.set(`${start} ${end}`, [start, end, score]);
  };
  for (const { tokens, start, outputs } of windows) {
    const read = tokens.map((one, i) => ({ ...one, token: start + i })).filter((one) => one.start < one.end);
    const [starts, ends] = [outputs.start_logits[0], outputs.end_logits[0]];
    const found = read.flatMap((first, i) =>
      read.slice(i, i + MAX_ANSWER_TOKENS).map((last) => [first.start, last.end, starts[first.token] + ends[last.token]]),
    );
    for (const one of found.sort((a, b) => b[2] - a[2]).slice(0, N_BEST)) add(...one);
  }
  if (noAnswer) {
    // every window must say so
    const none = windows.map(({ outputs }) => outputs.start_logits[0][0] + outputs.end_logits[0][0]);
    spans.set("0 0", [0, 0, Math.min(...none)]);
  }
  return [...spans.values()];
}

/** Scored spans as answers, the best first; `score` is a share of theirs. */
export function rank(context, spans, softmax) {
  const ranked = spans.sort((a, b) => b[2] - a[2]).slice(0, N_BEST);
  const shares = softmax(ranked.map((one) => one[2]));
  return ranked.map(([start, end], i) => answer(context, start, end, shares[i]));
}

/** A span without the white space at its ends, and with the accents of its last letter. */
function answer(context, start, end, score) {
  while (/^\p{M}/u.test(context.slice(end))) end++;
  const text = context.slice(start, end);
  const from = start + text.length - text.trimStart().length;
  return { text: text.trim(), start: from, end: from + text.trim().length, score };
}
