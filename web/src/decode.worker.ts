/** Decodes off the main thread: first told the avatar, then a latent at a time. */

import type { Avatar } from "./avatar";
import { decode } from "./decode";
import type { Networks } from "./networks";

type Message =
  | { readonly networks: Networks; readonly avatar: Avatar }
  | { readonly latent: Float32Array };

let known: { networks: Networks; avatar: Avatar } | null = null;

self.onmessage = ({ data }: MessageEvent<Message>) => {
  if ("avatar" in data) known = data;
  else if (known) self.postMessage(decode(known.networks, known.avatar, data.latent));
};
