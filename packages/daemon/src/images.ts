/** The section `images` of the configuration as a store. */
import path from 'node:path';
import { imageStore } from '@warden/images';
import type { Failpoints, ImageStore, Logger } from '@warden/interface';
import { unpackProgram } from '@warden/wshd';
import type { Configuration } from './config.ts';
import type { ImagesLock } from './images-lock.ts';
import { registryAuthorities } from './registry-authorities.ts';
import type { DriverSet } from './select-drivers.ts';

/** Where they are: outside the depot, perhaps. */
export function imagesDirectory({ images: settings }: Configuration, depot: string): string {
  return settings.path ?? path.join(depot, '.images');
}

/** It takes `lock` before it makes its directory. Errors: `INVALID_SPEC` naming the key. */
export function images(
  configuration: Configuration,
  depot: string,
  { filesystem }: DriverSet,
  parts: { readonly logger: Logger; readonly failpoints: Failpoints; readonly lock: ImagesLock },
): ImageStore {
  const { images: settings } = configuration;
  const { logger, failpoints, lock } = parts;
  return imageStore({
    directory: imagesDirectory(configuration, depot),
    program: unpackProgram(),
    maxBytes: settings.max_size * 1024 ** 2,
    maxEntries: settings.max_entries,
    flatten: filesystem.supports.stacksLayers !== true,
    registries: {
      registries: settings.registries,
      insecure: settings.insecure_registries,
      authorities: registryAuthorities(settings.certificates),
    },
    claim: () => lock.take(),
    logger: logger.child('images'),
    failpoints,
  });
}
