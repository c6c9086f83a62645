/** The emulated machine: qemu without any network device, its console, and its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** What the guest says to the host on its console begins with this. */
const MARK = 'warden-vm: ';

/**
 * Starts it. `onMark` gets each line that the guest addresses to the host, without the mark. The machine ends
 * with `stop`, with the guest's power-off, or with this process.
 */
export function startMachine({ results, kernel, initramfs, disks, shares, memory, processors, onMark }) {
  const log = fs.createWriteStream(path.join(results, 'console.log'));
  // whatever ends this process ends the machine too; the last pipe is its control socket, so that it has no
  // name to leave behind
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...words()], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const control = new Control(child.stdio[3]);
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
    ended,
    /** Seconds of processor time the machine has had: unlike the clock's, they tell much the same on a busy host. */
    cpuSeconds: () => cpuSeconds(child.pid),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
      log.end();
    },
    reset: () => control.command('system_reset'),
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
      ...[
        '-machine',
        'q35',
        '-accel',
        'tcg,thread=multi',
        '-cpu',
        'max,la57=off',
        '-smp',
        String(processors),
      ],
      ...['-m', String(memory), '-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'none'],
      ...['-serial', 'stdio', '-chardev', 'socket,id=control,fd=3', '-mon', 'chardev=control,mode=control'],
      ...['-device', 'virtio-rng-pci', '-kernel', kernel.image, '-initrd', initramfs],
      ...['-append', 'console=ttyS0 quiet loglevel=4 panic=0 mitigations=off cgroup_no_v1=all'],
      ...devices,
      ...folders,
    ];
  }
}

/** proc(5): times are in hundredths of a second. The threads' own are in it; 0 when the process is gone. */
function cpuSeconds(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Math.round((Number(fields[11]) + Number(fields[12])) / 100);
  } catch {
    return 0;
  }
}

/** qemu's machine protocol: a line of JSON each way. */
class Control {
  #socket;
  #lines;
  #isReady = false;

  constructor(socket) {
    this.#socket = socket;
    socket.on('error', () => {}); // the machine's end is told by its process
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  async command(name) {
    if (!this.#isReady) {
      await this.#lines.next(); // the greeting
      await this.#execute('qmp_capabilities');
      this.#isReady = true;
    }
    await this.#execute(name);
  }

  async #execute(name) {
    this.#socket.write(`${JSON.stringify({ execute: name })}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`qemu closed its control socket before it answered ${name}`);
      const answer = JSON.parse(value);
      if (answer.error) throw new Error(`qemu refused ${name}: ${answer.error.desc}`);
      if (answer.return) return;
    }
  }
}
