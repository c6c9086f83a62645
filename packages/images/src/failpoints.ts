/** Every named place of the store, each named after the step it stands behind. */

/** All names, in the order of the steps. */
export const STORE_FAILPOINTS = [
  'image-import.staging',
  'image-import.unpack',
  'image-import.note',
  'image-import.layer',
  'image-import.index',
  'image-remove.index',
  'image-remove.staging',
  'image-use.note',
  'image-release.note',
  'image-index.write',
] as const;

/** One of {@link STORE_FAILPOINTS}. */
export type StoreFailpoint = (typeof STORE_FAILPOINTS)[number];
