/** The section `images` of the configuration as a store. */
import path from 'node:path';
import { imageStore } from '@warden/images';
import type { Failpoints, ImageStore, Logger } from '@warden/interface';
import { unpackProgram } from '@warden/wshd';
import type { Configuration } from './config.ts';
import { registryAuthorities } from './registry-authorities.ts';
import type { DriverSet } from './select-drivers.ts';

/** Errors: `INVALID_SPEC` naming the key. */
export function images(
  { images: settings }: Configuration,
  depot: string,
  { filesystem }: DriverSet,
  { logger, failpoints }: { readonly logger: Logger; readonly failpoints: Failpoints },
): ImageStore {
  return imageStore({
    directory: settings.path ?? path.join(depot, '.images'),
    program: unpackProgram(),
    maxBytes: settings.max_size * 1024 ** 2,
    maxEntries: settings.max_entries,
    flatten: filesystem.supports.stacksLayers !== true,
    registries: {
      registries: settings.registries,
      insecure: settings.insecure_registries,
      authorities: registryAuthorities(settings.certificates),
    },
    logger: logger.child('images'),
    failpoints,
  });
}
