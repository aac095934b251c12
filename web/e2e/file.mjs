// A page exported to one file, opened from disk: node e2e/file.mjs PAGE FOLDER

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [path, folder] = process.argv.slice(2);
const SIDE = 256;

const { browser, newPage, complaints } = await openBrowser();
const report = { side: SIDE, complaints, requested: [] };
try {
  const page = await newPage({ width: 600, height: 300 });
  page.on("request", (request) => report.requested.push(request.url().slice(0, 40)));
  await page.goto(pathToFileURL(path).href);
  await ready(page);
  await page.getByRole("button", { name: "Surprise" }).click();
  await savePicture(page, SIDE, join(folder, "surprise.png"));
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);
