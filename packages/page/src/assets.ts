/** The files of the page. They are few and small, and are read once. */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

const DIRECTORY = new URL('../assets/', import.meta.url);
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** One of them. */
export interface Asset {
  readonly type: string;
  readonly content: Buffer;
}

/** See the file's head. What is served is what is in the directory: no path of a request becomes one of the disk. */
export class Assets {
  readonly #byPath = new Map<string, Asset>();

  constructor() {
    for (const name of fs.readdirSync(fileURLToPath(DIRECTORY))) {
      const type = TYPES[name.slice(name.lastIndexOf('.') + 1)];
      if (type === undefined) continue;
      const content = fs.readFileSync(new URL(name, DIRECTORY));
      this.#byPath.set(name === 'index.html' ? '/' : `/page/${name}`, { type, content });
    }
  }

  get(path: string): Asset | undefined {
    return this.#byPath.get(path);
  }
}
