/** Images in the index: how they are found, what they are called, which layers they stand on. */
import { invalid } from './failure.ts';
import type { ImageIndex, StoredImage } from './index-file.ts';
import { asName } from './reference.ts';

/**
 * By its whole id, which no name ever stands before, by name, or by the beginning of an id that is only
 * one's. Errors: `INVALID_SPEC`.
 */
export function findImageNamed({ images, names }: ImageIndex, nameOrId: string): StoredImage {
  const exact = images.get(nameOrId) ?? images.get(`sha256:${nameOrId}`);
  if (exact !== undefined) return exact;
  const name = asName(nameOrId);
  const byName = name === undefined ? undefined : names.get(name);
  const short = /^(?:sha256:)?([0-9a-f]{12,64})$/.exec(nameOrId)?.[1];
  const byId = short === undefined ? [] : [...images.keys()].filter((id) => id.startsWith(`sha256:${short}`));
  const id = byName ?? (byId.length === 1 ? byId[0] : undefined);
  return (id === undefined ? undefined : images.get(id)) ?? noSuchImage(nameOrId);
}

/** Errors: `INVALID_SPEC`, always. */
export function noSuchImage(nameOrId: string): never {
  throw invalid(`image ${nameOrId.slice(0, 200)} not found`, {
    object: nameOrId.slice(0, 200),
    errno: 'ENOENT',
    advice: 'warden image ls tells names and ids of those that are there',
  });
}

/** Its names, in their order. */
export function namesOf({ names }: ImageIndex, id: string): string[] {
  return [...names]
    .filter(([, one]) => one === id)
    .map(([name]) => name)
    .sort();
}

/**
 * The layers, the uppermost first, each once: an image may have one several times (builders repeat the empty
 * one), and the kernel refuses the same directory twice (ELOOP). Only the uppermost counts, and that changes
 * nothing. Whatever the lower one has at a path, the upper one has, too: a file, a whiteout or an opaque
 * directory there ends the look down the stack before it comes to the lower one; a directory that is merged
 * gets no entry from below that it has not had from above; and where the upper one has nothing, neither has
 * the lower one. What lies between hides, of the two, only the lower one.
 *
 * It ends with the first that hides all below it: on a layer's root the kernel does not look for the mark.
 */
export function stackOf({ layers }: StoredImage, hidesBelow: (layer: string) => boolean): readonly string[] {
  const last = layers.findLastIndex(hidesBelow);
  return [...new Set(layers.slice(Math.max(0, last)).reverse())];
}
