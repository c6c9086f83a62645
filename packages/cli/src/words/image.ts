/**
 * `warden image ...`: images of the daemon's host. The daemon does the work, so that they are checked and
 * unpacked where they can harm nothing.
 */
import path from 'node:path';
import type { ImageInfo, ImageOptions, ImageProgress, ImageRemoval } from '@warden/interface';
import { columns } from '../human/columns.ts';
import { ProgressBar } from '../human/progress-bar.ts';
import { shown } from '../human/shown.ts';
import { painter } from '../human/style.ts';
import { sizeText } from '../human/units.ts';
import { tell, writeList, writeOne } from '../human/write-answer.ts';
import { readPassword } from './password.ts';
import type { Word, WordContext } from './word.ts';

/** Hexadecimal digits of an id that people are shown; the daemon takes them for the whole. */
const SHORT_ID = 12;

const imageLs: Word = {
  name: 'image ls',
  summary: "List the images of the daemon's host.",
  operands: [],
  flags: [],
  examples: [['warden image ls', 'names, sizes, and how many containers stand on each']],
  async run(_given, context) {
    const images = await (await context.connect()).images.list();
    await writeList(context, images, () => imageTable(images, context));
    return 0;
  },
};

const imageImport: Word = {
  name: 'image import',
  summary: "Import an OCI layout or a docker-archive that lies on the daemon's host.",
  operands: [{ name: 'PATH', kind: 'file' }],
  flags: [
    { name: 'name', value: 'NAME', text: 'Its name here; by default the one in the archive.' },
    { name: 'reference', value: 'REF', text: 'Which image of an archive that holds several.' },
  ],
  examples: [
    ['warden image import ./app.tar --name app', 'from docker save, skopeo or buildah'],
    ['warden image import ./layout --name app:2', 'a directory'],
  ],
  async run(given, context) {
    const spec = {
      path: path.resolve(given.operands[0]!),
      name: given.value('name'),
      reference: given.value('reference'),
    };
    return receive(context, async (options) => (await context.connect()).images.import(spec, options));
  },
};

const imagePull: Word = {
  name: 'image pull',
  summary: 'Fetch an image from a registry that the daemon allows.',
  details: [
    'With --user the password is the first line of standard input where that is no terminal, and is asked for where it is one; it never stands on the command line.',
  ],
  operands: [{ name: 'REFERENCE', kind: 'plain' }],
  flags: [
    { name: 'name', value: 'NAME', text: 'Its name here; by default the reference.' },
    { name: 'user', short: 'u', value: 'USER', text: 'Account for registries that ask for one.' },
  ],
  examples: [
    ['warden image pull registry.example:5000/app:1', 'keeps the name'],
    ['warden image pull registry.example/app --name app --user me < password', 'with an account'],
  ],
  async run(given, context) {
    const user = given.value('user');
    const password = user === undefined ? undefined : await readPassword(context.terminal, user);
    const spec = { reference: given.operands[0]!, name: given.value('name'), user, password };
    return receive(context, async (options) => (await context.connect()).images.pull(spec, options));
  },
};

const imageSnapshot: Word = {
  name: 'image snapshot',
  summary: 'Keep what a container has changed as an image.',
  details: ['The container has to stand on an image; it stands still meanwhile.'],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: 'NAME', kind: 'plain' },
  ],
  flags: [],
  examples: [['warden image snapshot box app:ready', 'then: warden run --image app:ready ...']],
  async run(given, context) {
    const [handle, name] = given.operands as [string, string];
    await writeImage(context, await (await context.connect()).images.snapshot(handle, name));
    return 0;
  },
};

const imageRm: Word = {
  name: 'image rm',
  summary: 'Take names from images; with its last name an image is removed.',
  operands: [{ name: 'IMAGE', kind: 'image', isRest: true }],
  flags: [],
  examples: [['warden image rm app:1 app:2', 'names, or ids']],
  async run(given, context) {
    const { images } = await context.connect();
    const gone: ImageRemoval[] = [];
    try {
      for (const name of given.operands) gone.push(await images.remove(name));
    } finally {
      // one document, also of those before one that cannot be removed
      if (gone.length > 0)
        await writeRemoval(context, {
          images: gone.flatMap((one) => one.images),
          bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
        });
    }
    return 0;
  },
};

const imageGc: Word = {
  name: 'image gc',
  summary:
    'Remove images without a name that no container uses, layers that no image has, and unfinished downloads.',
  operands: [],
  flags: [],
  examples: [['warden image gc', 'writes the ids that are gone']],
  async run(_given, context) {
    await writeRemoval(context, await (await context.connect()).images.collect());
    return 0;
  },
};

/** In the order of the help. */
export const IMAGE_WORDS: readonly Word[] = [
  imageGc,
  imageImport,
  imageLs,
  imagePull,
  imageRm,
  imageSnapshot,
];

async function receive(
  context: WordContext,
  task: (options: ImageOptions) => Promise<ImageInfo>,
): Promise<number> {
  const bar = new ProgressBar(context.terminal, context.format === 'text');
  const onProgress = ({ step, object, done, total }: ImageProgress): void =>
    bar.show({ label: `${step} ${shortId(object)}`, done, ...(total > 0 && { total }) });
  try {
    const image = await task({ onProgress });
    bar.end();
    await writeImage(context, image);
    return 0;
  } finally {
    bar.end();
  }
}

async function writeImage(context: WordContext, image: ImageInfo): Promise<void> {
  await writeOne(context, image, () => [shown(image.names[0] ?? shortId(image.id))]);
}

async function writeRemoval(context: WordContext, removal: ImageRemoval): Promise<void> {
  await writeOne(context, removal, () => removal.images.map(shortId).map(shown));
  await tell(context, `${sizeText(removal.bytes)} given back`);
}

function imageTable(images: readonly ImageInfo[], { terminal }: WordContext): readonly string[] {
  return columns(
    [
      { title: 'NAME' },
      { title: 'ID' },
      { title: 'SIZE', isNumber: true },
      { title: 'CREATED' },
      { title: 'USED BY', isNumber: true },
    ],
    images.flatMap(({ id, names, bytes, created, usedBy }) =>
      (names.length === 0 ? [{ text: '(none)', tone: 'quiet' as const }] : names).map((name) => [
        name,
        shortId(id),
        sizeText(bytes),
        created?.slice(0, 10) ?? '-',
        String(usedBy.length),
      ]),
    ),
    { paint: painter(terminal) },
  );
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, SHORT_ID);
}
