/**
 * The page's own code for the two ends of a room, for `room_clip.py`: reads a job as JSON from
 * stdin, writes what comes of it to stdout.
 */

import { createServer } from "../web/node_modules/vite/dist/node/index.js";

const vite = await createServer({
  root: new URL("../web", import.meta.url).pathname,
  configFile: false,
  logLevel: "error",
  appType: "custom",
  server: { middlewareMode: true, hmr: false, ws: false },
});
const packets = await vite.ssrLoadModule("/src/packets.ts");
const { Playout } = await vite.ssrLoadModule("/src/playout.ts");

/** Frames {milliseconds, latent, rotation, translation} → what a driver's page sends for each. */
function encode(frames) {
  let range = null;
  return frames.map(({ milliseconds, latent, rotation, translation }, sequence) => {
    const values = Float32Array.from(latent);
    const before = range;
    range = packets.rangeFor(values, before);
    const vector = packets.vectorOf(rotation);
    const pose = { rotation: vector, translation, latent: values };
    const data = packets.encodePacket({ range: range.id, sequence, milliseconds, ...pose }, range);
    return { range: range === before ? null : range, packet: Buffer.from(data).toString("base64") };
  });
}

/** Arrivals [{at, range, packet}] → what a viewer's page shows at each of `times`. */
function play({ arrivals, times }) {
  const [playout, clock] = [new Playout(), new Playout()];
  const ranges = new Map();
  let next = 0;
  return times.map((now) => {
    for (; next < arrivals.length && arrivals[next].at <= now; next++) {
      const { at, range, packet } = arrivals[next];
      if (range) ranges.set(range.id, range);
      const bytes = Uint8Array.from(Buffer.from(packet, "base64"));
      const decoded = packets.decodePacket(bytes.buffer, ranges.get(bytes[1]));
      playout.push(decoded, at);
      // The driver's time, interpolated as everything else is, says which moment is shown.
      clock.push({ ...decoded, latent: Float32Array.of(decoded.milliseconds) }, at);
    }
    const moment = playout.at(now);
    if (!moment) return null;
    const shown = clock.at(now).latent[0];
    return { ...moment, latent: Array.from(moment.latent), shown, delay: playout.delay };
  });
}

let text = "";
for await (const part of process.stdin) text += part;
const job = JSON.parse(text);
process.stdout.write(JSON.stringify(job.frames ? encode(job.frames) : play(job)));
await vite.close();
