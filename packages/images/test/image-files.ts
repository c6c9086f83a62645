/** Archives and layouts for tests, byte by byte: also such as no tool would write. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';

/** An entry of an archive. */
export interface Entry {
  readonly name: string;
  readonly type?: string;
  readonly content?: string | Buffer;
  /** Another size than the content's. */
  readonly size?: number;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pax?: Readonly<Record<string, string>>;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`;
}

function header(entry: Entry, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(entry.name.slice(0, 100), 0);
  block.write(octal(entry.mode ?? 0o644, 8), 100);
  block.write(octal(entry.uid ?? 0, 8), 108);
  block.write(octal(entry.gid ?? 0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(1_000_000_000, 12), 136);
  block.write('        ', 148);
  block.write(entry.type ?? '0', 156);
  block.write((entry.link ?? '').slice(0, 100), 157);
  block.write('ustar\0' + '00', 257);
  block.write(
    octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    ),
    148,
  );
  return block;
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function paxRecord(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(body) + 1;
  while (Buffer.byteLength(`${length}${body}`) !== length) length++;
  return `${length}${body}`;
}

/** The whole archive. */
export function tar(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const content = Buffer.from(entry.content ?? '');
    if (entry.pax !== undefined) {
      const records = Buffer.from(
        Object.entries(entry.pax)
          .map(([key, value]) => paxRecord(key, value))
          .join(''),
      );
      parts.push(header({ name: 'pax', type: 'x' }, records.length), padded(records));
    }
    parts.push(header(entry, entry.size ?? content.length), padded(content));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** What to put into a layout. */
export interface LayoutOptions {
  readonly layers: readonly Buffer[];
  readonly name?: string;
  readonly compress?: (layer: Buffer) => Buffer;
  /** Changes documents before they are written and named. */
  readonly config?: (config: Record<string, unknown>) => Record<string, unknown>;
  /** Changes the configuration's text. */
  readonly configText?: (text: string) => string;
  readonly manifest?: (manifest: Record<string, unknown>) => Record<string, unknown>;
}

const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

/** Writes an OCI layout and answers its manifest's digest. */
export function writeLayout(directory: string, options: LayoutOptions): string {
  const {
    layers,
    name,
    compress = (layer) => layer,
    config: withConfig = (one) => one,
    configText = (one) => one,
    manifest: withManifest = (one) => one,
  } = options;
  fs.mkdirSync(path.join(directory, 'blobs/sha256'), { recursive: true });
  const blob = (bytes: Buffer, mediaType: string): Record<string, unknown> => {
    const digest = sha256(bytes);
    fs.writeFileSync(path.join(directory, 'blobs/sha256', digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const config = blob(
    Buffer.from(
      configText(
        JSON.stringify(
          withConfig({
            architecture: ARCHITECTURE,
            os: 'linux',
            created: '2024-01-02T03:04:05Z',
            config: { Env: ['A=b'] },
            rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
          }),
        ),
      ),
    ),
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = blob(
    json(
      withManifest({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config,
        layers: layers.map((layer) => blob(compress(layer), 'application/vnd.oci.image.layer.v1.tar')),
      }),
    ),
    'application/vnd.oci.image.manifest.v1+json',
  );
  fs.writeFileSync(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const annotations =
    name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } };
  fs.writeFileSync(
    path.join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, ...annotations }] }),
  );
  return manifest.digest as string;
}

/** Writes a docker-archive. */
export function writeDockerArchive(file: string, layers: readonly Buffer[], tags: readonly string[]): void {
  const config = Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURE,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    }),
  );
  const configName = `${sha256(config).slice(7)}.json`;
  const manifest = [
    { Config: configName, RepoTags: tags, Layers: layers.map((_one, at) => `${at}/layer.tar`) },
  ];
  fs.writeFileSync(
    file,
    tar([
      ...layers.map((layer, at) => ({ name: `${at}/layer.tar`, content: layer })),
      { name: configName, content: config },
      { name: 'manifest.json', content: JSON.stringify(manifest) },
    ]),
  );
}

export const gzip = (layer: Buffer): Buffer => zlib.gzipSync(layer);
