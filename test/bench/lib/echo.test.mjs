import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { startEcho } from './echo.mjs';

test('each question gets an answer, and the other program ends', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-echo-'));
  try {
    const echo = await startEcho(path.join(directory, 'socket'));
    for (let i = 0; i < 3; i++) await echo.ask();
    await echo.stop();
    expect(() => process.kill(echo.pid, 0)).toThrow('ESRCH');
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
});
