// Runs outside: asks many published ports over HTTP at once, and tries addresses that must not answer.
// Standard input: {"asked": [{port, expected}], "host": address, "silent": [{address, port}]}. Standard
// output: {"failures": [...], "opened": [...]}.
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';

const { host, asked, silent = [] } = JSON.parse(fs.readFileSync(0, 'utf8'));
const WIDTH = 64;
const PATIENCE_MS = 20_000;
/** A connection that is let through opens within a millisecond. */
const SILENCE_MS = 3_000;

async function inLanes(items, action) {
  const queue = [...items];
  const work = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await action(item);
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
}

function get(port) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host, port, agent: false, timeout: PATIENCE_MS }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
  });
}

function opens({ address, port }) {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port });
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(SILENCE_MS, () => end(false));
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
  });
}

const failures = [];
await inLanes(asked, async ({ port, expected }) => {
  try {
    const text = await get(port);
    if (text !== expected) failures.push(`${port}: ${JSON.stringify(text.slice(0, 100))}`);
  } catch (error) {
    failures.push(`${port}: ${error.message}`);
  }
});
const opened = [];
// all at a time: each takes as long as silence lasts
await Promise.all(
  silent.map(async (one) => {
    if (await opens(one)) opened.push(`${one.address}:${one.port}`);
  }),
);
process.stdout.write(JSON.stringify({ failures, opened }));
