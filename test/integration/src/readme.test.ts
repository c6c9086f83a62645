/** The example of the README, as it stands there. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeWith, withDaemon } from '@warden/test-harness';
import { expect, it, vi } from 'vitest';

describeWith(['root', 'isolated', 'overlayfs'], 'the README', () => {
  const suite = withDaemon();

  it('has an example that works when pasted', async () => {
    const readme = fs.readFileSync(path.resolve(import.meta.dirname, '../../../README.md'), 'utf8');
    const example = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
    expect(example.split('\n').filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(10);
    // only the socket is another one: nothing that the example names has to exist first
    const here = example.replace('/tmp/warden.sock', suite.daemon.place.socket);
    expect(here).not.toBe(example);
    const file = path.join(import.meta.dirname, `.readme-example-${process.pid}.ts`);
    fs.writeFileSync(file, here);
    let output = '';
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      output += Buffer.from(chunk as Uint8Array).toString();
      return true;
    });
    const log = vi.spyOn(console, 'log').mockImplementation((...words) => {
      output += `${words.join(' ')}\n`;
    });
    try {
      await import(/* @vite-ignore */ pathToFileURL(file).href);
    } finally {
      write.mockRestore();
      log.mockRestore();
      fs.rmSync(file);
    }
    expect(
      output.startsWith(
        `0 vcap\n${fs
          .readdirSync(process.cwd())
          .filter((name) => !name.startsWith('.'))
          .sort()
          .join('\n')}`,
      ),
    ).toBe(true);
    expect(output).toContain('1\n2\n3\n');
    expect(await (await suite.daemon.connect()).list()).toEqual([]);
  });
});
