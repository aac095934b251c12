// Drives the page as a person would, in a real browser: node e2e/viewer.mjs URL FOLDER
//
// Leaves pictures and `report.json` in FOLDER; `tests/e2e/test_viewer.py` compares them with what
// `mien.render` draws. Exits with an error when the page says that something went wrong.

import { join } from "node:path";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [url, folder] = process.argv.slice(2);
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
    await page.waitForTimeout(1500);
    report.playing = await page.locator("#figures").textContent();
    await page.locator("#play").click();
  }

  const download = page.waitForEvent("download");
  await page.locator("#screenshot").click();
  await (await download).saveAs(join(folder, "saved.png"));

  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 780 });
  await page.evaluate("window.mien.viewer.settled()");
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(folder, "phone.png") });

  // A GPU that cannot draw into float textures: the worker decodes.
  await page.addInitScript(() => {
    WebGL2RenderingContext.prototype.getExtension = () => null;
  });
  await page.reload();
  await ready(page);
  await snapshot("neutral_by_worker");
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);
