/** The emulated machine: qemu without any network device, its console, and its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** What the guest says to the host on its console begins with this. */
const MARK = 'warden-vm: ';

/**
 * Starts it. `onMark` gets each line that the guest addresses to the host, without the mark. The machine ends with `stop`, with the guest's
 * power-off, or with this process.
 */
export function startMachine({ work, kernel, initramfs, disks, shares, memory, onMark }) {
  const control = path.join(work, 'qmp.sock');
  const log = fs.createWriteStream(path.join(work, 'console.log'));
  // whatever ends this process ends the machine too
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...words()], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    trouble += chunk;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    log.write(`${line}\n`);
    const at = line.indexOf(MARK);
    if (at !== -1) onMark(line.slice(at + MARK.length).trim());
    if (line.includes('Kernel panic')) child.kill('SIGKILL');
  });
  const ended = Promise.race([
    once(child, 'exit').then(([code, signal]) => ({ code, signal, trouble })),
    once(child, 'error').then(([error]) => ({ code: 127, signal: null, trouble: error.message })),
  ]);
  return {
    pid: child.pid,
    ended,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
      log.end();
    },
    reset: () => command(control, 'system_reset'),
  };

  function words() {
    const devices = disks.flatMap((file, at) => [
      '-drive',
      `file=${file},format=raw,if=none,id=disk${at},cache=unsafe,discard=unmap`,
      '-device',
      `virtio-blk-pci,drive=disk${at}`,
    ]);
    const folders = shares.flatMap(({ tag, directory, readonly }) => [
      '-virtfs',
      `local,path=${directory},mount_tag=${tag},security_model=none,multidevs=remap${readonly ? ',readonly=on' : ''}`,
    ]);
    return [
      ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off', '-smp', '2'],
      ...['-m', String(memory), '-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'none'],
      ...['-serial', 'stdio', '-qmp', `unix:${control},server=on,wait=off`],
      ...['-device', 'virtio-rng-pci', '-kernel', kernel.image, '-initrd', initramfs],
      ...['-append', 'console=ttyS0 quiet loglevel=4 panic=0 mitigations=off cgroup_no_v1=all'],
      ...devices,
      ...folders,
    ];
  }
}

/** One command in qemu's machine protocol. */
async function command(socketPath, name) {
  const socket = net.connect(socketPath);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  try {
    await lines.next(); // the greeting
    for (const execute of ['qmp_capabilities', name]) {
      socket.write(`${JSON.stringify({ execute })}\n`);
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`qemu closed its control socket before it answered ${execute}`);
        const answer = JSON.parse(value);
        if (answer.error) throw new Error(`qemu refused ${execute}: ${answer.error.desc}`);
        if (answer.return) break;
      }
    }
  } finally {
    socket.destroy();
  }
}
