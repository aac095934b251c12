// Two browsers' pages in one room: node e2e/room.mjs DRIVER_URL VIEWER_URL FOLDER
//
// Leaves what either page showed, and `report.json`, in FOLDER for `tests/e2e/test_room.py`.

import { join } from "node:path";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [driverUrl, viewerUrl, folder] = process.argv.slice(2);
const SIDE = 256;

const { browser, newPage, complaints } = await openBrowser();
const report = { side: SIDE, complaints };
try {
  const driver = await newPage({ width: 700, height: 300 });
  await driver.goto(driverUrl);
  await ready(driver);
  report.driverSees = await driver.locator("#room").textContent();
  report.link = await driver.locator("#link").inputValue();

  const viewer = await newPage({ width: 700, height: 300 });
  await viewer.goto(viewerUrl);
  await ready(viewer);
  // The driver repeats itself, so something comes even when nothing moves.
  await viewer.locator("#room-text", { hasText: /at (?!0\.0)/ }).waitFor();
  await savePicture(viewer, SIDE, join(folder, "viewer_before.png"));

  await driver.getByRole("button", { name: "Surprise" }).click();
  await driver.locator("#picture").focus();
  for (let i = 0; i < 4; i++) await driver.keyboard.press("ArrowRight");
  await savePicture(driver, SIDE, join(folder, "driver.png"));
  const asked = await driver.evaluate("[...window.mien.told.latent]");
  await viewer.waitForFunction(arrived, asked, { polling: 500, timeout: 60_000 });
  await savePicture(viewer, SIDE, join(folder, "viewer.png"));
  report.viewerSees = await viewer.locator("#room").textContent();
  report.viewerHasSliders = await viewer.locator("#sliders").isVisible();
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);

/** In the viewer's page: whether it shows nearly this latent, and did so when asked before. */
function arrived(latent) {
  const told = window.mien.told.latent;
  const before = window.toldBefore;
  window.toldBefore = [...told];
  const size = Math.hypot(...latent) / Math.sqrt(latent.length);
  const near = latent.every((value, d) => Math.abs(value - told[d]) < 0.05 * size);
  return near && told.every((value, d) => value === before?.[d]);
}
