// A file-system driver that copies the base into each container's layer. Create costs as much as the base is
// large, but it works on every file system, and what the container changed can be found with `diff -r`.
import fs from 'node:fs/promises';
import path from 'node:path';
import { WardenError } from '@warden/interface';

/** First step: the user's options, of which there are none. Second step: the assembler's components. */
export default function copyDriver() {
  return ({ logger }) => ({
    role: 'filesystem',
    name: 'copy',
    supports: { wholeRootWritable: true, constantTimeCreate: false, nestable: true },

    async probe(depot) {
      try {
        await fs.rmdir(await fs.mkdtemp(path.join(depot, '.copy-probe-')));
        return { ok: true };
      } catch (error) {
        return { ok: false, reason: error.message };
      }
    },

    plan: () => ({ layer: 'tmp/rootfs' }),

    async prepare(spec) {
      if (!(await isDirectory(spec.base)))
        throw failure('INVALID_SPEC', spec.base, { code: 'ENOTDIR', message: 'the base is no directory' });
      const layer = layerOf(spec);
      const half = `${layer}.half`; // the layer appears when it is complete
      try {
        // for root alone: a container may make set-user-id programs, which nobody of the host is to find
        await fs.mkdir(path.dirname(layer), { recursive: true, mode: 0o700 });
        if ((await isDirectory(layer)) && (await fs.readdir(layer)).length > 0) return;
        logger.debug?.('copying', { base: spec.base, layer });
        await fs.rm(half, { recursive: true, force: true });
        await copy(spec.base, half);
        await fs.rename(half, layer);
      } catch (error) {
        await fs.rm(half, { recursive: true, force: true }).catch(() => {});
        throw failure('NATIVE_FAILED', layer, error);
      }
    },

    mounts: (spec) => [{ type: 'none', source: layerOf(spec), target: '/', options: ['bind', 'rw'] }],

    async release(spec) {
      await fs.rm(layerOf(spec), { recursive: true, force: true });
      await fs.rm(`${layerOf(spec)}.half`, { recursive: true, force: true });
      // a disk limit may be mounted here, or others have put something beside the layer
      await fs.rmdir(path.join(spec.directory, 'tmp')).catch(() => {});
    },
  });
}

const layerOf = (spec) => path.join(spec.directory, 'tmp/rootfs');

const isDirectory = async (target) => (await fs.stat(target).catch(() => undefined))?.isDirectory() === true;

const failure = (code, object, cause) =>
  new WardenError(code, `prepare root: ${cause.message}`, {
    cause,
    fields: { operation: 'prepare root', object, errno: cause.code },
  });

/** Paths, owners and modes; devices, pipes and sockets stay behind, because init makes what a container needs. */
async function copy(source, target) {
  const facts = await fs.lstat(source);
  if (facts.isSymbolicLink()) {
    await fs.symlink(await fs.readlink(source), target);
    return fs.lchown(target, facts.uid, facts.gid);
  }
  if (facts.isDirectory()) {
    await fs.mkdir(target);
    for (const name of await fs.readdir(source)) await copy(path.join(source, name), path.join(target, name));
  } else if (facts.isFile()) {
    await fs.copyFile(source, target);
  } else {
    return undefined;
  }
  await fs.chown(target, facts.uid, facts.gid);
  return fs.chmod(target, facts.mode & 0o7777); // after chown, which clears set-id bits
}
