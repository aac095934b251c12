// What the browser tests share: one Chromium, drawing in software, and pictures saved to files.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

/**
 * A browser, what opens pages in it, and all that its pages complain of.
 *
 * @param extra further arguments of Chromium's.
 */
export async function openBrowser(extra = []) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--use-angle=swiftshader",
      "--enable-unsafe-swiftshader",
      ...extra,
    ],
  });
  const complaints = [];
  const newPage = async (viewport) => {
    const page = await browser.newPage({ viewport });
    page.on("console", (message) => {
      // Chromium says so of its own accord where there is no WebGPU.
      const expected = message.text() === "No available adapters.";
      if (["error", "warning"].includes(message.type()) && !expected) {
        complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    return page;
  };
  return { browser, newPage, complaints };
}

/** Wait until the page shows its avatar. */
export function ready(page) {
  return page.locator("#status:empty").waitFor({ state: "attached", timeout: 60_000 });
}

/** Save what the picture shows once everything asked for is drawn. */
export async function savePicture(page, side, path) {
  const base64 = await page.evaluate(async (side) => {
    const blob = await window.mien.snapshot(side);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  }, side);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(base64, "base64"));
}

/** Leave what was found for the test that started this. */
export function writeReport(folder, report) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "report.json"), JSON.stringify(report, null, 2));
}
