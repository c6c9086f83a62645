/**
 * What docs/quick-start.md tells a stranger to type behind the start of the daemon, typed, and held against
 * what it says will be shown.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import {
  describeWith,
  OUTSIDE_ADDRESS,
  startDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { endCleanly } from './end-cleanly.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const PAGE = fs.readFileSync(path.join(ROOT, 'docs/quick-start.md'), 'utf8');
/** From the first container to the last one. */
const [, TYPED = ''] = /\n## 4\. [\s\S]*?\n([\s\S]*)\n## 9\. /.exec(PAGE)!;
const [, LEFT = ''] = /\n## 9\. ([\s\S]*)/.exec(PAGE)!;

interface Block {
  readonly language: string;
  readonly text: string;
}

const blocksOf = (text: string): readonly Block[] =>
  [...text.matchAll(/```(\w*)\n([\s\S]*?)```/g)].map(([, language = '', code = '']) => ({
    language,
    text: code,
  }));

/** Numbers are others each time, and with them the widths of columns; whatever else is shown stands there. */
function pattern(shown: string): RegExp {
  const escaped = shown.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll(/\d+(\\\.\d+)*/g, '[\\d.]+').replaceAll(/ +/g, ' +')}$`);
}

const withoutTrailingBlanks = (output: string): string => output.replaceAll(/ +$/gm, '').trim();

/** Types a block at a shell of the daemon's host. */
async function type(place: TestPlace, block: string): Promise<string> {
  const [program, ...args] = place.network.host.enter(['bash', '-c', `cd "$0" && ${block}`, ROOT]);
  const child = spawn(program!, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      HOME: place.directory,
      PATH: `${ROOT}/node_modules/.bin:${process.env.PATH}`,
      WARDEN_SOCKET: place.socket,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      output += data.toString();
    });
  await once(child, 'close');
  return withoutTrailingBlanks(output);
}

/** What stands for a web server somewhere. */
async function serve(place: TestPlace): Promise<ChildProcess> {
  const script =
    "import socket\ns = socket.create_server(('0.0.0.0', 80)); print('ready', flush=True)\nwhile True: s.accept()[0].close()";
  const [program, ...args] = place.network.outside.enter(['python3', '-c', script]);
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory', 'python3'], 'the quick start', () => {
  it('shows what it says, and leaves nothing behind', { timeout: 180_000 }, async () => {
    expect(PAGE).toContain(OUTSIDE_ADDRESS);
    let daemon = await startDaemon();
    const { place } = daemon;
    const before = takeInventory(place);
    const server = await serve(place);
    const program = path.join(ROOT, `.readme-example-quick-start-${process.pid}.ts`);
    const names: string[] = [];
    try {
      const blocks = blocksOf(TYPED);
      for (const [at, { language, text }] of blocks.entries()) {
        if (language === 'ts') fs.writeFileSync(program, text.replace('/tmp/warden.sock', place.socket));
        if (language !== 'sh') continue;
        if (text.startsWith('kill -9 $!\nwardend --rootfs ')) {
          await daemon.kill('SIGKILL');
          daemon = await startDaemon({ place });
          continue;
        }
        const output = await type(place, text.replace('first.ts', program));
        const next = blocks[at + 1];
        if (next?.language === '') expect(output, text).toMatch(pattern(withoutTrailingBlanks(next.text)));
        // a container's host name is what it says of itself at its port, before and after the daemon's death
        else if (text.includes(':8080/hostname')) names.push(output.split('\n').at(-1)!);
        else expect(output, text).toMatch(/^[0-9a-v]{11}\n\d+\n(\w+\n)+var$/);
      }
      expect(names).toEqual([expect.stringMatching(/^[0-9a-v]{11}$/), names[0]]);
      const [removal] = blocksOf(LEFT);
      expect(await type(place, removal!.text)).toBe('');
      expect(await (await daemon.connect()).list()).toEqual([]);
    } finally {
      server.kill('SIGKILL');
      fs.rmSync(program, { force: true });
      await endCleanly(daemon, before);
    }
  });
});
