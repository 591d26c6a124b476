// Shows the answers of each kind of model. A view takes an element, the answer, and what it needs of the page.

export const VIEWS = { label, tags, question, choice, mask, vector };

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A probability in the page's language: 7.3 %, 73 %. */
function percent(share) {
  const digits = share < 0.0995 ? 1 : 0;
  const number = (100 * share).toLocaleString(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number} %`;
}

/** A cosine in the page's language: 0.73. */
function cosine(value) {
  return value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** Rows of {name, share, isBest, threshold}, and how a share is written. Rows that are there already change, so that their bars move. */
function bars(element, rows, written = percent) {
  const names = JSON.stringify(rows.map((row) => row.name));
  if (element.dataset.rows !== names) {
    const bar = () => make("span", { className: "track" }, make("span", { className: "fill" }));
    const items = rows.map(({ name, action }) => {
      const shown = action ? make("button", { type: "button", className: "name", textContent: name, ...action }) : make("span", { className: "name", textContent: name });
      return make("li", {}, shown, bar(), make("span", { className: "share" }));
    });
    element.replaceChildren(make("ul", { className: "bars" }, ...items));
    element.dataset.rows = names;
  }
  element.querySelectorAll("li").forEach((item, i) => {
    const { share, isBest, threshold } = rows[i];
    item.classList.toggle("best", isBest);
    item.querySelector(".fill").style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
    item.querySelector(".share").textContent = written(share);
    const track = item.querySelector(".track");
    track.classList.toggle("limited", threshold !== undefined);
    if (threshold !== undefined) track.style.setProperty("--threshold", `${100 * threshold}%`);
  });
}

function label(element, { scores, labels }, { words, model }) {
  const list = part(element, "list");
  const rows = scores.map(({ label: name, score, threshold }) => ({
    name: words.label(name),
    share: score,
    isBest: labels.includes(name),
    threshold: model.several ? threshold : undefined,
  }));
  bars(list, rows);
  note(element, labels.length ? "" : words.noLabel);
}

function choice(element, { scores, choice: best, texts }) {
  bars(part(element, "list"), scores.map((share, i) => ({ name: texts[i + 1], share, isBest: i === best })));
}

function vector(element, { scores, texts }, { words }) {
  part(element, "title", "h2").textContent = words.similar;
  const rows = scores.map((share, i) => ({ name: texts[i + 1], share }));
  rows.sort((a, b) => b.share - a.share);
  bars(part(element, "list"), rows.map((row, i) => ({ ...row, isBest: i === 0 })), cosine);
}

function tags(element, { entities, texts: [text] }, { words, model }) {
  const types = [...new Set(model.labels.filter((one) => one !== "O").map((one) => one.slice(one.indexOf("-") + 1)))];
  const marked = entities.map((one) => ({ ...one, colour: types.indexOf(one.type), name: words.label(one.type) }));
  part(element, "text", "p").replaceChildren(...marks(text, marked));
  note(element, entities.length ? "" : words.noEntities);
  const legend = types.map((type, i) => {
    const count = entities.filter((one) => one.type === type).length;
    return make("li", { className: `colour-${i % 6}${count ? "" : " none"}` }, `${words.label(type)} `, make("b", { textContent: count }));
  });
  part(element, "legend", "ul").replaceChildren(...legend);
}

function question(element, { text, start, end, score, texts }, { words }) {
  const given = text
    ? [make("strong", { textContent: text }), make("span", { className: "share", textContent: percent(score) })]
    : [words.noAnswer];
  part(element, "given", "p").replaceChildren(...given);
  part(element, "text", "p").replaceChildren(...marks(texts[1], text ? [{ start, end, colour: 0 }] : []));
}

/** A text in nodes, with coloured spans: [{start, end, colour, name, score}]. */
function marks(text, spans) {
  let read = 0;
  const nodes = spans.flatMap(({ start, end, colour, name, score }) => {
    const before = text.slice(read, start);
    read = end;
    const mark = make("mark", { className: `colour-${colour % 6}`, textContent: text.slice(start, end) });
    if (name) mark.append(make("small", { textContent: name }));
    if (score) mark.title = percent(score);
    return [before, mark];
  });
  return [...nodes, text.slice(read)];
}

function mask(element, { masks, texts: [text] }, { words, replace }) {
  note(element, masks.length ? "" : words.noMask);
  let read = 0;
  const filled = masks.flatMap(({ start, end, guesses }) => {
    const before = text.slice(read, start);
    read = end;
    return [before, make("mark", { className: "colour-0", textContent: guesses[0]?.token ?? "" })];
  });
  const line = part(element, "text", "p");
  line.hidden = !masks.length;
  line.replaceChildren(...filled, text.slice(read));
  const columns = part(element, "columns");
  while (columns.children.length > masks.length) columns.lastChild.remove();
  while (columns.children.length < masks.length) columns.append(make("div"));
  masks.forEach(({ start, end, guesses }, i) => {
    const rows = guesses.map(({ token, continues, score }, place) => ({
      name: (continues ? "…" : "") + token,
      share: score,
      isBest: place === 0,
      action: { title: words.use, onclick: () => replace(start, end, token) },
    }));
    delete columns.children[i].dataset.rows; // the place of a word in the text changes
    bars(columns.children[i], rows);
  });
}

/** The part of an answer with this name; made where it is not there. */
function part(element, name, tag = "div") {
  const found = element.querySelector(`:scope > .${name}`);
  if (found) return found;
  element.append(make(tag, { className: name }));
  return element.lastChild;
}

function note(element, text) {
  const found = part(element, "note", "p");
  found.textContent = text;
  found.hidden = !text;
}
