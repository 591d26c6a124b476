// Starts Chromium by the driver of package.json, for the timing of pages and for their test.

import { chromium } from "playwright-core";

export const MINUTE = 60_000;

export function launch(executablePath) {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  return chromium.launch({ executablePath, args, timeout: MINUTE });
}

/** What the script was asked, from standard input. */
export async function request() {
  return JSON.parse(await new Response(process.stdin).text());
}
