/** Small helpers around the document. */

/** The element of this id, which the page surely has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new TypeError(`The page lacks #${id}.`);
  return found as T;
}

/** An element with properties and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Run something that may fail, and tell the person when it does. */
export async function attempt(action: () => Promise<void>): Promise<void> {
  const status = byId("status");
  try {
    await action();
    status.textContent = "";
  } catch (error) {
    status.textContent = error instanceof Error ? error.message : String(error);
  }
}

/** A file's name without what follows its last dot. */
export function stem(name: string): string {
  return name.replace(/\.[^.]*$/, "");
}
