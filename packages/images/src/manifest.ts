/**
 * The documents of an image: index, manifest, configuration. All of them are foreign: each value is checked
 * before it is used.
 */
import { type Digest, parseDigest } from './digest.ts';
import { invalid, told, unsupported } from './failure.ts';
import { calledSo } from './reference.ts';

/** None of these documents is larger in earnest. */
export const MAX_DOCUMENT_BYTES: number = 4 << 20;
/** As with others; and what the kernel's union takes with room to spare. */
export const MAX_LAYERS = 127;

/** A blob: what it is, how long, and its digest. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly annotations: Readonly<Record<string, string>>;
}

/** What of an image's configuration is kept. */
export interface ImageConfig {
  readonly architecture: string;
  readonly created?: string;
  readonly diffIds: readonly Digest[];
  /** Environment, command and the like, as the image gives them: shown, not obeyed. */
  readonly run: Readonly<Record<string, unknown>>;
}

/** An image's manifest. */
export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
/** For a registry, in the order of preference. */
export const ACCEPTED_TYPES: readonly string[] = [...MANIFEST_TYPES, ...INDEX_TYPES];

/** How names are written into an index; docker writes the whole name into the first, and a tag into the second. */
const NAME_ANNOTATIONS = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

/** Node's names of processors as images have them. */
export const ARCHITECTURE: string =
  ({ x64: 'amd64', ia32: '386' } as Record<string, string>)[process.arch] ?? process.arch;

/** Errors: `INVALID_SPEC`. */
export function parseDocument(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isMap(value)) return value;
  } catch {
    // said below
  }
  throw invalid(`${what} is no JSON object`, { object: what });
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  if (!isMap(value)) throw invalid(`${what} is no descriptor`, { object: what });
  const { size, platform, annotations } = value;
  if (!Number.isSafeInteger(size) || (size as number) < 0)
    throw invalid(`${what} has no size`, { object: what });
  return {
    mediaType: text(value.mediaType) ?? '',
    digest: parseDigest(value.digest, what),
    size: size as number,
    ...(isMap(platform)
      ? {
          platform: {
            os: text(platform.os) ?? '',
            architecture: text(platform.architecture) ?? '',
            ...(typeof platform.variant === 'string' ? { variant: platform.variant } : {}),
          },
        }
      : {}),
    annotations: isMap(annotations)
      ? Object.fromEntries(
          Object.entries(annotations).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
        )
      : {},
  };
}

/** What an index calls an image, the whole name first. */
export function namesIn({ annotations }: Descriptor): readonly string[] {
  return NAME_ANNOTATIONS.map((key) => annotations[key]).filter((name) => name !== undefined);
}

/** Whether a document is a list of manifests. */
export function isIndex(document: Readonly<Record<string, unknown>>): boolean {
  return INDEX_TYPES.includes(text(document.mediaType) ?? '') || Array.isArray(document.manifests);
}

/** Errors: `INVALID_SPEC`. */
export function parseIndex(document: Readonly<Record<string, unknown>>): readonly Descriptor[] {
  const { manifests } = document;
  if (!Array.isArray(manifests) || manifests.length > 1_000)
    throw invalid('the index of the image has no list of manifests');
  return manifests.map((one, at) => parseDescriptor(one, `manifest ${at} of the index`));
}

/**
 * The one that is meant: by name where one is given, then by this host's processor. Errors: `INVALID_SPEC`
 * naming what there is.
 */
export function choose(manifests: readonly Descriptor[], wanted: string | undefined): Descriptor {
  const known = manifests.filter(({ mediaType }) => mediaType === '' || ACCEPTED_TYPES.includes(mediaType));
  const named = wanted === undefined ? known : calledSo(known, namesIn, wanted);
  const fitting = leastDemanding(
    named.filter(
      ({ platform }) =>
        platform === undefined || (platform.os === 'linux' && platform.architecture === ARCHITECTURE),
    ),
  );
  const [first] = fitting;
  const isOne =
    new Set(fitting.map(({ digest }) => digest.text)).size === 1 ||
    (wanted === undefined && known.every((one) => namesIn(one).length === 0) && fitting.length > 0);
  if (first !== undefined && isOne) return first;
  const there = known.map(
    (one) =>
      `${told(namesIn(one)[0] ?? 'without a name', 200)}${one.platform ? ` (${one.platform.os}/${one.platform.architecture})` : ''}`,
  );
  const list = there.slice(0, 20).join(', ') || 'nothing';
  if (named.length > 0 && fitting.length === 0)
    throw invalid(`the image is not for linux/${ARCHITECTURE}: there is ${list}`);
  throw invalid(
    wanted === undefined
      ? `say which image is meant: there are ${list}`
      : `there is no image of the name ${wanted}: there is ${list}`,
  );
}

/**
 * Of images for the same processor those for the oldest of its variants (`amd64` has `v2` and `v3` beside none,
 * `arm` has `v6` and `v7`), which run on each.
 */
function leastDemanding(manifests: readonly Descriptor[]): readonly Descriptor[] {
  const variants = manifests.map(({ platform }) => platform?.variant ?? '').sort();
  return manifests.filter(({ platform }) => (platform?.variant ?? '') === variants[0]);
}

/** Errors: `INVALID_SPEC`, `UNSUPPORTED`. */
export function parseManifest(document: Readonly<Record<string, unknown>>): Manifest {
  if (document.schemaVersion !== 2)
    throw unsupported(`the manifest has version ${told(document.schemaVersion)}, only 2 is known`);
  const { config, layers } = document;
  if (!Array.isArray(layers)) throw invalid('the manifest has no layers');
  if (layers.length > MAX_LAYERS)
    throw invalid(`the image has ${layers.length} layers, at most ${MAX_LAYERS} will do`);
  return {
    config: parseDescriptor(config, 'the configuration of the image'),
    layers: layers.map((one, at) => checkLayer(parseDescriptor(one, `layer ${at}`))),
  };
}

function checkLayer(layer: Descriptor): Descriptor {
  if (/foreign|nondistributable/.test(layer.mediaType))
    throw unsupported(
      `a layer of the image lies elsewhere (${layer.mediaType}): copy it into the image first`,
    );
  return layer;
}

/** Errors: `INVALID_SPEC`. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const document = parseDocument(bytes, 'the configuration of the image');
  const { os = 'linux', architecture, created, rootfs, config } = document;
  const diffIds = isMap(rootfs) && rootfs.type === 'layers' ? rootfs.diff_ids : undefined;
  if (!Array.isArray(diffIds)) throw invalid('the configuration of the image does not list its layers');
  if (os !== 'linux' || architecture !== ARCHITECTURE)
    throw invalid(`the image is for ${told(os)}/${told(architecture)}, this host is linux/${ARCHITECTURE}`);
  return {
    architecture: ARCHITECTURE,
    ...(typeof created === 'string' ? { created: created.slice(0, 64) } : {}),
    diffIds: diffIds.map((one, at) => parseDigest(one, `layer ${at} of the configuration`)),
    run: isMap(config) ? config : {},
  };
}
