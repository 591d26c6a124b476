// Drives a browser for test_page.py. It reads {browser, folders, visits} as JSON, and writes what it saw.

import { createServer } from "node:http";
import { launch, MINUTE, request } from "../../../benchmarks/page/browser.mjs";

const { browser: program, folders, visits } = await request();
const browser = await launch(program);
const requests = [];
const found = { requests, answers: await answers(), visits: {} };
for (const [name, one] of Object.entries(visits)) found.visits[name] = await visit(one);
await browser.close();
console.log(JSON.stringify(found));

/** A new page; `errors` grows with what its console says. */
async function open(url, errors, before) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "ru" });
  context.on("request", (request) => requests.push(request.url()));
  const page = await context.newPage();
  page.setDefaultTimeout(MINUTE);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(error.message));
  if (before) await page.addInitScript(before);
  await page.goto(url);
  return page;
}

/** The answers of the models in the folders, {name: [address, lists of texts]}, without the page around them. */
async function answers() {
  const page = await open(`${Object.values(folders)[0][0]}page.json`, []);
  return page.evaluate(async (folders) => {
    const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());
    const json = async (url) => (await fetch(url)).json();
    const stream = (await fetch("runtime.wasm.gz")).body.pipeThrough(new DecompressionStream("gzip"));
    const runtime = new Uint8Array(await new Response(stream).arrayBuffer());
    const { Model } = await import("./answers.js");
    const found = {};
    for (const [name, [address, texts]] of Object.entries(folders)) {
      const files = { runtime, model: await bytes(`${address}model.onnx`) };
      for (const file of ["tokenizer", "tokenizer_config", "config"]) files[file] = await json(`${address}${file}.json`);
      const model = await Model.open(files);
      found[name] = [];
      for (const own of texts) found[name].push({ ...(await model.answer(...own)), cut: model.cut, unknown: model.unknown });
    }
    return found;
  }, folders);
}

/** Open a page, type, press buttons, and look at it in two widths. */
async function visit({ url, typed = [], presses = [], before, offline = false, answers = true }) {
  const seen = { errors: [], answers: [], widths: [] };
  const server = offline ? await relay(url) : null;
  const address = server ? `http://127.0.0.1:${server.address().port}/` : url;
  const page = await open(address, seen.errors, before);
  const answered = (text) =>
    page.waitForFunction(
      (text) => {
        const { found } = document.getElementById("answer");
        return text === null ? found : text ? found?.texts.at(-1) === text : !found;
      },
      text,
      { polling: 20 },
    );
  if (answers) await answered(null);
  else await page.locator("#notice").waitFor();
  if (offline) {
    await page.evaluate(() => navigator.serviceWorker.ready);
    server.close();
    server.closeAllConnections();
    await page.goto(address);
    await answered(null);
  }
  for (const [text, wanted] of typed) {
    await page.locator("#form textarea").last().evaluate(type, text);
    await answered(wanted);
    seen.answers.push(await page.evaluate(() => document.getElementById("answer").found));
  }
  for (const [key, wanted] of presses) {
    await page.keyboard.press(key);
    await answered(wanted);
  }
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    seen.widths.push(await page.evaluate(() => document.documentElement.scrollWidth));
  }
  seen.text = await page.locator("body").innerText();
  await page.context().close();
  return seen;
}

/** A server that can be closed; the browser itself keeps nothing of it. */
async function relay(url) {
  const server = createServer(async (request, response) => {
    const found = await fetch(new URL(request.url.slice(1), url));
    response.writeHead(found.status, { "content-type": found.headers.get("content-type"), "cache-control": "no-store" });
    response.end(Buffer.from(await found.arrayBuffer()));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return server;
}

/** Type two texts, the second while the first is being answered: it is the one to answer. */
function type(field, text) {
  for (field.value of [`${text}.`, text]) field.dispatchEvent(new Event("input"));
}
