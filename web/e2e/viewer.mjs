// Drives the page as a person would, in a real browser: node e2e/viewer.mjs URL BAKED TAKE FOLDER
//
// BAKED, an avatar, and TAKE are dropped on the page. Leaves pictures and `report.json` in FOLDER;
// `tests/e2e/test_viewer.py` compares them with what `mien.render` draws. Exits with an error when
// the page says that something went wrong.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [url, baked, take, folder] = process.argv.slice(2);
const SIDE = 512;

const { browser, newPage, complaints } = await openBrowser();
const page = await newPage({ width: 900, height: 560 });
const snapshot = (name) => savePicture(page, SIDE, join(folder, `${name}.png`));

const report = { side: SIDE, complaints };
try {
  const start = Date.now();
  await page.goto(url);
  await ready(page);
  report.secondsToAvatar = (Date.now() - start) / 1000;
  report.figures = await page.locator("#figures").textContent();
  await snapshot("neutral");

  await page.locator("#search").fill("jaw open");
  await page.locator("#jawOpen").fill("1");
  await snapshot("jaw_open");
  await page.screenshot({ path: join(folder, "page.png") });
  await page.locator("#reset").click();
  await snapshot("reset");

  await page.locator("#search").fill("");
  await page.getByRole("button", { name: "Smile" }).click();
  await page.locator("#picture").focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  report.view = await page.evaluate("window.mien.orbit.view");
  await snapshot("smile_turned");

  const seek = page.locator("#seek");
  if (await seek.isVisible()) {
    await seek.fill("1");
    await snapshot("take_end");
    await page.locator("#play").click();
    await page.locator("#figures", { hasText: /[1-9]\d* frames/ }).waitFor();
    await page.locator("#play").click();
  }

  const download = page.waitForEvent("download");
  await page.locator("#screenshot").click();
  await (await download).saveAs(join(folder, "saved.png"));

  await page.locator("#record").click();
  for (const value of ["0.4", "0.8", "0"]) {
    await page.locator("#jawOpen").evaluate(move, value);
    await page.evaluate("window.mien.viewer.settled()");
  }
  const recording = page.waitForEvent("download");
  await page.locator("#record").click();
  await (await recording).saveAs(join(folder, "recorded.webm"));

  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 780 });
  await page.evaluate("window.mien.viewer.settled()");
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  await page.screenshot({ path: join(folder, "phone.png") });

  await drop(page, take, "dropped.motion");
  await page.locator("#take option", { hasText: "dropped" }).waitFor({ state: "attached" });
  await page.locator("#seek").fill("1");
  await snapshot("dropped_take_end");

  await drop(page, baked, "dropped.mien");
  await page.locator("#name", { hasText: "dropped" }).waitFor();
  await snapshot("baked");
  await page.locator("#jawOpen").evaluate(move, "1");
  await snapshot("baked_jaw_open");
  report.bakedLatent = await page.evaluate("[...window.mien.told.latent]");

  // A GPU that cannot draw into float textures: the worker decodes.
  await page.addInitScript(() => {
    WebGL2RenderingContext.prototype.getExtension = () => null;
  });
  await page.reload();
  await ready(page);
  await snapshot("neutral_by_worker");
  await drop(page, baked, "dropped.mien");
  await page.locator("#name", { hasText: "dropped" }).waitFor();
  await snapshot("baked_by_worker");
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);

/** In the page: move a slider, seen or not. */
function move(slider, value) {
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
}

/** Drop a file on the picture under this name. */
async function drop(page, path, name) {
  const base64 = readFileSync(path).toString("base64");
  const deliver = ([base64, name]) => {
    const dataTransfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name));
    document.querySelector("#picture").dispatchEvent(new DragEvent("drop", { dataTransfer }));
  };
  await page.evaluate(deliver, [base64, name]);
}
