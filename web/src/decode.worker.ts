/** Decodes off the main thread: first told the avatar, then a latent at a time. */

import type { Avatar } from "./avatar";
import { type BakedAvatar, isBaked, playBaked } from "./baked";
import { decode } from "./decode";
import type { Networks } from "./networks";

type Message =
  | { readonly networks: Networks; readonly avatar: Avatar | BakedAvatar }
  | { readonly latent: Float32Array };

let known: { networks: Networks; avatar: Avatar | BakedAvatar } | null = null;

self.onmessage = ({ data }: MessageEvent<Message>) => {
  if ("avatar" in data) known = data;
  else if (known) self.postMessage(gaussians(known.networks, known.avatar, data.latent));
};

function gaussians(networks: Networks, avatar: Avatar | BakedAvatar, latent: Float32Array) {
  return isBaked(avatar) ? playBaked(avatar, latent) : decode(networks, avatar, latent);
}
