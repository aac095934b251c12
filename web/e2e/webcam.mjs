// A face before the camera moves the avatar: node e2e/webcam.mjs URL VIDEO FOLDER
//
// The camera is VIDEO (MJPEG), over and over. Leaves `report.json` and pictures in FOLDER for
// `tests/e2e/test_webcam.py`.

import { join } from "node:path";
import { openBrowser, ready, savePicture, writeReport } from "./browser.mjs";

const [url, video, folder] = process.argv.slice(2);
const SIDE = 256;
const SAMPLES = 8;

const { browser, newPage, complaints } = await openBrowser([
  "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${video}`,
]);
const report = { side: SIDE, complaints, requested: [], samples: [] };
try {
  const page = await newPage({ width: 700, height: 300 });
  page.on("request", (request) => report.requested.push(request.url()));
  await page.goto(url);
  await ready(page);
  report.promise = await page.locator("#camera-promise").textContent();
  await savePicture(page, SIDE, join(folder, "before.png"));

  // Nobody has allowed the camera yet.
  await page.locator("#camera").click();
  await page.locator("#status:not(:empty)").waitFor();
  report.refusal = await page.locator("#status").textContent();

  await page.context().grantPermissions(["camera"]);
  await page.locator("#camera").click();
  await page.locator("body[data-face=true]").waitFor({ state: "attached", timeout: 120_000 });
  for (let i = 0; i < SAMPLES; i++) {
    report.samples.push(await page.evaluate(nextTold));
  }
  await savePicture(page, SIDE, join(folder, "driven.png"));
  await page.screenshot({ path: join(folder, "page.png") });
  await page.locator("#camera").click();
  report.stopped = await page.evaluate(
    () => document.querySelector("#camera-picture").srcObject === null,
  );
} finally {
  // MediaPipe says on the console what it starts with.
  report.complaints = complaints.filter((text) => !/^[IW]\d{4} .*gl_context/.test(text));
  writeReport(folder, report);
  await browser.close();
}
if (report.complaints.length > 0) process.exit(1);

/** In the page: what the avatar is told next, as plain numbers. */
async function nextTold() {
  const before = window.mien.told.latent;
  while (window.mien.told.latent === before) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  const { latent, camera } = window.mien.told;
  return { latent: [...latent], rotation: camera.rotation, translation: camera.translation };
}
