// One page in a fresh browser, by the worker of the page; device.py starts it. It mirrors asking.py.

import { readFileSync } from "node:fs";
import { launch, request } from "../page/browser.mjs";

const { browser: program, url, ...asked } = await request();
const browser = await launch(program);
const page = await browser.newPage();
await page.goto(`${url}/page.json`); // the files' place, without the page that shows them
const found = await page.evaluate(answers, asked);
console.log(JSON.stringify({ ...found, peak: await peak() }));
await browser.close();

/** In the page: seconds from its opening to the first answer, sorted seconds of single answers, answers a second. */
async function answers({ texts, many, seconds, warm_up, least }) {
  const { files } = await (await fetch("page.json")).json();
  const worker = new Worker("worker.js", { type: "module" });
  const reply = (message, wanted) =>
    new Promise((resolve, reject) => {
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : wanted in data && resolve());
      worker.postMessage(message);
    });
  const ask = (text) => reply({ texts: [text] }, "found");
  await reply({ files }, "loaded");
  await ask(Object.values(texts)[0]);
  const [first, times] = [performance.now() / 1000, {}]; // its zero is the opening
  for (const [length, text] of Object.entries(texts)) {
    for (let i = 0; i < warm_up; i++) await ask(text);
    const taken = [];
    for (let all = 0; taken.length < least || all < seconds; all += taken.at(-1)) {
      const begun = performance.now();
      await ask(text);
      taken.push((performance.now() - begun) / 1000);
    }
    times[length] = taken.sort((a, b) => a - b);
  }
  const begun = performance.now();
  for (const text of many) await ask(text);
  return { first, times, rate: (1000 * many.length) / (performance.now() - begun) };
}

/** The most memory of the page's process, in bytes; 0 where the system does not tell. */
async function peak() {
  const { processInfo } = await (await browser.newBrowserCDPSession()).send("SystemInfo.getProcessInfo");
  const sizes = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => {
    try {
      return 1024 * Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"))[1]);
    } catch {
      return 0;
    }
  });
  return Math.max(0, ...sizes);
}
