/** An image that lies on this host: an OCI layout, or an archive as docker writes it. */
import type { Readable } from 'node:stream';
import { type Digest, DigestCheck, digestOf, parseDigest } from './digest.ts';
import { invalid, told, unsupported } from './failure.ts';
import { type FileSet, readDocument } from './file-set.ts';
import {
  choose,
  type Descriptor,
  type ImageConfig,
  isIndex,
  isMap,
  MAX_LAYERS,
  namesIn,
  parseConfig,
  parseDocument,
  parseIndex,
  parseManifest,
} from './manifest.ts';
import { calledSo } from './reference.ts';

/** A layer's archive, perhaps compressed. */
export interface LayerBlob {
  /** What it is known by once it is uncompressed. */
  readonly diffId: Digest;
  /** Of the blob as it is; absent: only the uncompressed content has one. */
  readonly digest?: Digest;
  readonly size: number;
  open(): Promise<{ readonly stream: Readable; close(): Promise<void> }>;
  /**
   * Gives up what it takes on the disk, once its layer is there; only where that is the image's own. It
   * cannot be opened any more then. Errors: `NATIVE_FAILED`.
   */
  drop?(): Promise<void>;
}

/** An image whose documents were read and agree with each other. */
export interface FoundImage {
  /** Digest of the configuration. */
  readonly id: string;
  readonly config: ImageConfig;
  /** As the archive names it. */
  readonly name?: string;
  readonly layers: readonly LayerBlob[];
}

const MAX_NESTED_INDEXES = 3;

/** Errors: `INVALID_SPEC`, `UNSUPPORTED`. */
export async function findImage(files: FileSet, reference: string | undefined): Promise<FoundImage> {
  if (files.has('index.json') && files.has('oci-layout')) return findInLayout(files, reference);
  if (files.has('manifest.json')) return findInArchive(files, reference);
  throw invalid(
    'there is neither an OCI layout (oci-layout and index.json) nor a docker-archive (manifest.json)',
  );
}

function blobName({ algorithm, hex }: Digest): string {
  return `blobs/${algorithm}/${hex}`;
}

async function readBlob(files: FileSet, { digest, size }: Descriptor, what: string): Promise<Buffer> {
  const bytes = await readDocument(files, blobName(digest));
  if (bytes.length !== size)
    throw invalid(`${what} has ${bytes.length} bytes, its descriptor says ${size}`, { object: digest.text });
  const check = new DigestCheck(digest);
  check.update(bytes);
  check.finish(what);
  return bytes;
}

async function findInLayout(files: FileSet, reference: string | undefined): Promise<FoundImage> {
  let document = parseDocument(await readDocument(files, 'index.json'), 'index.json');
  let wanted = reference;
  let name: string | undefined;
  for (let depth = 0; isIndex(document); depth++) {
    if (depth > MAX_NESTED_INDEXES) throw unsupported('the indexes of the image are nested too deeply');
    const chosen = choose(parseIndex(document), wanted);
    name ??= namesIn(chosen)[0];
    wanted = undefined;
    document = parseDocument(await readBlob(files, chosen, 'the manifest'), 'the manifest');
  }
  const manifest = parseManifest(document);
  const config = parseConfig(await readBlob(files, manifest.config, 'the configuration of the image'));
  return assemble(
    { id: manifest.config.digest.text, config, name },
    manifest.layers.map(({ digest, size }) => ({ file: blobName(digest), digest, size })),
    files,
  );
}

interface LayerFile {
  readonly file: string;
  readonly digest?: Digest;
  readonly size?: number;
}

async function assemble(
  {
    id,
    config,
    name,
  }: { readonly id: string; readonly config: ImageConfig; readonly name: string | undefined },
  layers: readonly LayerFile[],
  files: FileSet,
): Promise<FoundImage> {
  if (config.diffIds.length !== layers.length)
    throw invalid(`the configuration lists ${config.diffIds.length} layers, the manifest ${layers.length}`);
  if (layers.length === 0) throw invalid('the image has no layer');
  const blobs: LayerBlob[] = [];
  for (const [at, { file, digest, size }] of layers.entries()) {
    const part = await files.open(file);
    await part.close();
    if (size !== undefined && part.size !== size)
      throw invalid(`layer ${at} has ${part.size} bytes, its descriptor says ${size}`, { object: file });
    blobs.push({
      diffId: config.diffIds[at]!,
      ...(digest === undefined ? {} : { digest }),
      size: part.size,
      open: async () => {
        const opened = await files.open(file);
        return { stream: opened.stream(), close: () => opened.close() };
      },
    });
  }
  return { id, config, layers: blobs, ...(name === undefined ? {} : { name }) };
}

async function findInArchive(files: FileSet, reference: string | undefined): Promise<FoundImage> {
  const bytes = await readDocument(files, 'manifest.json');
  let list: unknown;
  try {
    list = JSON.parse(bytes.toString('utf8'));
  } catch {
    list = undefined;
  }
  if (!Array.isArray(list) || !list.every(isMap)) throw invalid('manifest.json is no list of images');
  const images = list.map((one) => ({
    config: one.Config,
    layers: one.Layers,
    tags: Array.isArray(one.RepoTags) ? one.RepoTags.filter((tag) => typeof tag === 'string') : [],
  }));
  const fitting = reference === undefined ? images : calledSo(images, ({ tags }) => tags, reference);
  const [chosen] = fitting;
  if (chosen === undefined || fitting.length > 1) {
    const there =
      images
        .flatMap(({ tags }) => tags)
        .slice(0, 20)
        .map((tag) => told(tag, 200))
        .join(', ') || 'none with a name';
    throw invalid(`say which image of the archive is meant: there are ${there}`);
  }
  const { config, layers, tags } = chosen;
  if (
    typeof config !== 'string' ||
    !Array.isArray(layers) ||
    !layers.every((one) => typeof one === 'string') ||
    layers.length > MAX_LAYERS
  )
    throw invalid('manifest.json does not say where the parts of the image are');
  const document = await readDocument(files, config);
  const id = digestOf(document);
  const [, stated] = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(config) ?? [];
  if (stated !== undefined) parseDigest(`sha256:${stated}`, config);
  if (stated !== undefined && id !== `sha256:${stated}`)
    throw invalid('the configuration of the image does not have its digest', { object: config, found: id });
  return assemble(
    { id, config: parseConfig(document), name: reference ?? tags[0] },
    layers.map((file: string) => ({ file })),
    files,
  );
}
