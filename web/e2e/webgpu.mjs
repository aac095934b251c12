// Decoding with WebGPU, where the browser can: node e2e/webgpu.mjs URL FOLDER
//
// Leaves pictures and `report.json` in FOLDER for `tests/e2e/test_webgpu.py`.

import { join } from "node:path";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [url, folder] = process.argv.slice(2);
const SIDE = 256;

const { browser, newPage, complaints } = await openBrowser([
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
]);
const report = { side: SIDE, complaints };
try {
  const page = await newPage({ width: 600, height: 300 });
  await page.addInitScript(rememberDevice);
  await page.goto(url);
  await ready(page);
  report.adapter = await page.evaluate(async () => (await navigator.gpu?.requestAdapter()) != null);
  if (!report.adapter) throw new Error("This browser has no WebGPU.");
  report.engine = await page.evaluate("window.mien.viewer.engine");
  await page.getByRole("button", { name: "Surprise" }).click();
  await savePicture(page, SIDE, join(folder, "surprise.png"));
  report.milliseconds = await page.evaluate(timed);

  // A device that is lost leaves the work to WebGL, and the face as it was.
  await page.evaluate("window.device.destroy()");
  await page.waitForFunction(() => window.mien.viewer.engine === "WebGL");
  await savePicture(page, SIDE, join(folder, "lost.png"));
} finally {
  writeReport(folder, report);
  await browser.close();
}
if (complaints.length > 0) process.exit(1);

/** In the page: keep the device that is asked for, so that it can be lost. */
function rememberDevice() {
  if (!navigator.gpu) return;
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...details) {
    window.device = await requestDevice.apply(this, details);
    return window.device;
  };
}

/** In the page: how long an expression takes from being asked for to being sorted, at best. */
async function timed() {
  const { told, viewer } = window.mien;
  const times = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    viewer.express(told.latent.map((value) => value + 0.001 * (i + 1)));
    await viewer.settled();
    times.push(performance.now() - start);
  }
  viewer.express(told.latent);
  await viewer.settled();
  return Math.min(...times);
}
