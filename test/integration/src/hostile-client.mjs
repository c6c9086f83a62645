/**
 * A client that means harm: `node hostile-client.mjs SOCKET KIND [JOB]`, JOB one of the victim's that never
 * stops writing. Prints "ready" once it has begun and goes on until it is killed.
 */
import net from 'node:net';

const [socketPath, kind, job] = process.argv.slice(2);

const varint = (value) => {
  const bytes = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
};
const block = (field, bytes) => Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
const message = (type, payload) => Buffer.concat([Buffer.from([8]), varint(type), block(2, payload)]);
const frame = (bytes) => Buffer.concat([Buffer.from(`${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
const request = (type, payload = Buffer.alloc(0)) => frame(message(type, payload));
const text = (field, value) => block(field, Buffer.from(value));
const filled = (size, piece) => Buffer.alloc(size, piece);

const TYPE = {
  create: 11,
  destroy: 13,
  info: 14,
  spawn: 21,
  run: 23,
  stream: 24,
  netIn: 31,
  netOut: 32,
  copyIn: 41,
  copyOut: 42,
  echo: 93,
  ping: 91,
  list: 92,
};
const MIB = 1024 * 1024;

/** What is sent over and over, on how many connections. */
const KINDS = {
  // as many requests as fit, never waiting for an answer
  pipeline: [64, () => Buffer.concat(Array.from({ length: 8_000 }, () => request(TYPE.ping)))],
  lists: [
    64,
    () =>
      Buffer.concat(
        Array.from({ length: 2_000 }, () =>
          Buffer.concat([request(TYPE.list), request(TYPE.info, text(1, 'nobody'))]),
        ),
      ),
  ],
  // frames of the largest size
  echo: [3, () => request(TYPE.echo, block(1, filled(60 * MIB, 'x')))],
  // ... full of the smallest fields: known, unknown, nested, in the envelope
  mounts: [
    3,
    () => request(TYPE.create, filled(40 * MIB, Buffer.from([0x0a, 6, 0x0a, 0, 0x12, 0, 0x18, 0]))),
  ],
  unknown: [3, () => request(TYPE.ping, filled(40 * MIB, Buffer.from([0x78, 1])))],
  envelope: [
    3,
    () =>
      frame(Buffer.concat([filled(40 * MIB, Buffer.from([0x78, 1])), message(TYPE.ping, Buffer.alloc(0))])),
  ],
  // ... or one string of it, as text and as what is none
  handle: [3, () => request(TYPE.info, block(1, filled(40 * MIB, 'h')))],
  noise: [
    3,
    () => request(TYPE.info, block(1, filled(40 * MIB, Buffer.from([0xc3, 0x28, 0xff, 0xf0, 0x9f])))),
  ],
  // strings as long as they may be, where programs like to use regular expressions
  patterns: [
    16,
    () =>
      Buffer.concat(
        [
          '1',
          '1.',
          '-',
          '/',
          ' ',
          '\n',
          '\u0000',
          '/../',
          ':',
          '0',
          'é',
          '\ud83d\ude00',
          '1.1.1.1-',
          '::',
          'a:',
        ].flatMap((piece) => {
          const long = Buffer.alloc(65_000, piece);
          return [
            request(TYPE.create, block(3, long)),
            request(TYPE.create, block(4, long)),
            request(TYPE.create, block(5, long)),
            request(
              TYPE.create,
              block(1, Buffer.concat([block(1, long), block(2, long), Buffer.from([0x18, 0])])),
            ),
            request(TYPE.netOut, Buffer.concat([text(1, 'victim'), block(2, long)])),
            request(TYPE.netOut, Buffer.concat([text(1, 'victim'), block(4, long)])),
            request(TYPE.copyIn, Buffer.concat([text(1, 'victim'), block(2, long), block(3, long)])),
            request(
              TYPE.copyOut,
              Buffer.concat([text(1, 'victim'), block(2, long), block(3, long), block(4, long)]),
            ),
            request(TYPE.spawn, Buffer.concat([text(1, 'nobody'), block(2, long), block(6, long)])),
          ];
        }),
      ),
  ],
  // scripts of the largest size
  scripts: [
    2,
    () =>
      request(
        TYPE.run,
        Buffer.concat([
          text(1, 'victim'),
          block(2, Buffer.concat([Buffer.from('exit\n'), filled(30 * MIB, '#')])),
        ]),
      ),
  ],
  // jobs that nobody asks for again, one after the other
  jobs: [
    16,
    () =>
      Buffer.concat(
        Array.from({ length: 50 }, () =>
          request(TYPE.spawn, Buffer.concat([text(1, 'victim'), text(2, 'exit')])),
        ),
      ),
  ],
  // output that is asked for and never read
  unread: [0, undefined],
  // connections that are begun and never finished, and those that are nothing else
  slow: [900, undefined],
  storm: [0, undefined],
};

const [connections, make] = KINDS[kind];
const bytes = make?.();

function endless() {
  const socket = net.connect(socketPath);
  socket.on('error', () => {});
  socket.on('close', () => setTimeout(endless, 1));
  socket.on('data', () => {});
  const write = () => {
    while (!socket.destroyed && socket.writable) if (!socket.write(bytes)) return;
  };
  socket.on('connect', write);
  socket.on('drain', write);
}

function slowly() {
  const socket = net.connect(socketPath);
  socket.on('error', () => {});
  const timer = setInterval(() => socket.writable && socket.write('1'), 1_000);
  socket.on('close', () => clearInterval(timer));
  socket.on('connect', () => socket.write(request(TYPE.ping).subarray(0, 1)));
}

function unread() {
  const socket = net.connect(socketPath);
  socket.on('error', () => {});
  socket.pause();
  socket.on('connect', () =>
    socket.write(
      request(TYPE.stream, Buffer.concat([text(1, 'victim'), Buffer.from([2 * 8]), varint(Number(job))])),
    ),
  );
}

if (kind === 'unread') for (let n = 0; n < 64; n++) unread();

function storm() {
  const socket = net.connect(socketPath);
  socket.on('error', () => {});
  socket.on('connect', () => socket.write(request(TYPE.list), () => socket.destroy()));
  socket.on('close', () => setImmediate(storm));
}

if (kind === 'storm') for (let n = 0; n < 32; n++) storm();
for (let n = 0; n < connections; n++) (kind === 'slow' ? slowly : endless)();
setTimeout(() => process.stdout.write('ready\n'), 300);
