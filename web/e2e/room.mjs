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
  await viewer.waitForTimeout(1500);
  await savePicture(viewer, SIDE, join(folder, "viewer_before.png"));

  await driver.getByRole("button", { name: "Surprise" }).click();
  await driver.locator("#picture").focus();
  for (let i = 0; i < 4; i++) await driver.keyboard.press("ArrowRight");
  await savePicture(driver, SIDE, join(folder, "driver.png"));
  await viewer.waitForTimeout(3000);
  await savePicture(viewer, SIDE, join(folder, "viewer.png"));
  report.viewerSees = await viewer.locator("#room").textContent();
  report.viewerHasSliders = await viewer.locator("#sliders").isVisible();
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);
