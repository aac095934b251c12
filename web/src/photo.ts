/** The panel that makes an avatar of a photo; the machine that serves the page does the work. */

import { save } from "./capture";
import { attempt, byId, stem } from "./page";
import { ENCODE_PATH, MAX_PHOTO, PHOTO_TYPES } from "./protocol.generated";

/** Posts photos, and offers what they become. */
export class PhotoPanel {
  readonly #token: string | null;
  readonly #made: (file: ArrayBuffer, name: string) => Promise<void>;
  readonly #said = byId("photo-says");

  /**
   * @param token of the link by which this page drives a room; null where there is none.
   * @param made told the new avatar's file and what to call it.
   */
  constructor(token: string | null, made: (file: ArrayBuffer, name: string) => Promise<void>) {
    this.#token = token;
    this.#made = made;
    byId("photo").hidden = false;
    const input = byId<HTMLInputElement>("photo-file");
    input.accept = PHOTO_TYPES.join();
    input.onchange = () => {
      const file = input.files?.[0];
      input.value = "";
      if (file) attempt(() => this.encode(file));
    };
  }

  /** Make an avatar of a photo and hand it over; rejects with what the person should know. */
  async encode(photo: File): Promise<void> {
    if (!PHOTO_TYPES.some((type) => type === photo.type)) {
      throw new Error("That is no photo that can be read; choose a JPEG, PNG or WebP file.");
    }
    if (photo.size > MAX_PHOTO) {
      throw new Error(`The photo is larger than ${MAX_PHOTO >> 20} MB; choose a smaller one.`);
    }
    this.#said.textContent = "The photo is being made into an avatar…";
    byId("photo-save").hidden = true;
    try {
      const file = await post(photo, this.#token);
      const name = stem(photo.name);
      await this.#made(file, name);
      const button = byId<HTMLButtonElement>("photo-save");
      button.hidden = false;
      button.onclick = () => save(new Blob([file]), `${name}.mien`);
    } finally {
      this.#said.textContent = "";
    }
  }
}

async function post(photo: File, token: string | null): Promise<ArrayBuffer> {
  const headers = {
    "content-type": photo.type,
    ...(token !== null && { authorization: `Bearer ${token}` }),
  };
  const answer = await fetch(ENCODE_PATH, { method: "POST", body: photo, headers }).catch(() => {
    throw new Error("The server cannot be reached; see whether it still runs.");
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.arrayBuffer();
}
