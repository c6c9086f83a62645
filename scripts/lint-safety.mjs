// Enforces by reading what no test can show for all time: which calls the native programs may not make, that
// process 1 of a container has no way to end itself, and that nothing in the daemon starts programs or names
// what lies below a container's root.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), '..'));

/** Folders of native/ that are shipped. */
const PROGRAMS = ['wshd', 'copy', 'wsh', 'lib', 'unpack'];
/** What serves as process 1: if it ended, everything in the container would. */
const SERVING = ['init', 'connection', 'messages', 'job', 'job_table', 'ring', 'wire', 'tree'].map(
  (name) => `native/wshd/${name}.c`,
);
/** Everything that runs in the daemon. */
const DAEMON = [
  'interface',
  'protocol',
  'native',
  'wshd',
  'core',
  'server',
  'daemon',
  'fs-overlayfs',
  'fs-aufs',
  'fs-bind',
  'net-nftables',
  'cgroup',
  'quota',
  'images',
  'page',
];

const call = (names) => new RegExp(`\\b(?:${names})\\s*\\(`);
/** `only`: where the rule holds; `except`: files for which it does not, and why. */
const RULES = [
  {
    only: (file) => PROGRAMS.some((name) => file.startsWith(`native/${name}/`)),
    pattern: call('system|popen|wordexp|execlp?|execle'),
    reason:
      'no shell and no program by a made-up command line: what is executed is named by a path or a descriptor',
  },
  {
    only: (file) => PROGRAMS.some((name) => file.startsWith(`native/${name}/`)),
    pattern: call('execvpe?'),
    except: ['native/wshd/execute.c', 'native/wshd/insecure.c'],
    reason: 'programs are looked up for jobs alone, after everything has been given up',
  },
  {
    only: (file) => PROGRAMS.some((name) => file.startsWith(`native/${name}/`)),
    pattern: call('strcpy|strcat|stpcpy|sprintf|vsprintf|gets|mktemp|tmpnam|tempnam|alloca|strtok'),
    reason: 'no call that writes without knowing how much room there is',
  },
  {
    only: (file) => PROGRAMS.some((name) => file.startsWith(`native/${name}/`)),
    pattern: call('getpw\\w+|getgr(?:nam|gid|ent)\\w*|getaddrinfo|gethostby\\w+|dlopen|setlocale|iconv_open'),
    reason: 'no library that loads further code or files of the root: accounts are read by our own parser',
  },
  {
    only: (file) => SERVING.includes(file),
    pattern: call('_?exit|_Exit|quick_exit|abort|assert|raise|errx?|verrx?|perror|__builtin_trap'),
    reason: 'process 1 answers with an error and goes on: its end is the end of the container',
  },
  {
    only: (file) => file.startsWith('native/lib/'),
    pattern: call('chroot|fchdir|chdir|pivot_root'),
    except: ['native/lib/spawn.c'],
    reason: 'the daemon stays where it is: only a child about to become another program moves',
  },
  {
    only: (file) => file.startsWith('native/lib/'),
    pattern: call('unshare|setns'),
    except: ['native/lib/netlink.c'],
    reason: 'the daemon enters and makes no namespaces: only a thread or a child that ends there may',
  },
  {
    only: (file) => DAEMON.some((name) => file.startsWith(`packages/${name}/src/`)),
    pattern: /['"](?:node:)?child_process['"]/,
    except: [
      'packages/daemon/src/default-rootfs.ts', // the embedded root file system, before the daemon serves
      'packages/quota/src/image-template.ts', // mkfs, once at the start
      'packages/quota/src/try-writing.ts', // a probe at the start
    ],
    reason:
      'no program of the host runs on the path of a request: use @warden/native, or make it a helper of ours',
  },
  {
    only: (file) => DAEMON.some((name) => file.startsWith(`packages/${name}/src/`)),
    pattern: /\bshell:\s*true\b|\bexecSync\(/,
    reason: 'no shell, ever: what a client sent would be a word of its language',
  },
  {
    only: (file) =>
      ['core', 'server', 'daemon', 'wshd', 'net-nftables', 'cgroup', 'native', 'protocol'].some((name) =>
        file.startsWith(`packages/${name}/src/`),
      ),
    pattern: /['"`][^'"`\s]*(?:tmp\/rootfs|mnt\/)[^'"`\n]*['"`]/,
    reason:
      'only file-system drivers know where the writable layer lies, to make it and to take it away: whatever else concerns it is done inside, by init or a helper',
  },
];

function* sources(directory) {
  if (!fs.existsSync(directory)) return;
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) yield* sources(file);
    else if (/\.(c|h|ts)$/.test(entry.name) && !/\.test\.ts$/.test(entry.name)) yield file;
  }
}

/** The text with comments blanked, lines kept. */
function code(file) {
  return fs
    .readFileSync(file, 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/[^\n]*/g, '$1');
}

const problems = [];
const used = new Set();
const directories = [
  ...PROGRAMS.map((name) => `native/${name}`),
  ...DAEMON.map((name) => `packages/${name}/src`),
];
for (const directory of directories) {
  for (const absolute of sources(path.join(root, directory))) {
    const file = path.relative(root, absolute);
    const lines = code(absolute).split('\n');
    for (const [number, { only, pattern, except = [], reason }] of RULES.entries()) {
      if (!only(file)) continue;
      for (const [index, line] of lines.entries()) {
        const found = pattern.exec(line);
        if (found === null) continue;
        if (except.includes(file)) used.add(`${number} ${file}`);
        else problems.push(`${file}:${index + 1}: ${found[0].trim()} … ${reason}`);
      }
    }
  }
}
for (const [number, { except = [] }] of RULES.entries()) {
  for (const file of except)
    if (!used.has(`${number} ${file}`) && fs.existsSync(path.join(root, file)))
      problems.push(`scripts/lint-safety.mjs: ${file} needs no exception any more`);
}
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}
process.stdout.write(`${RULES.length} rules of safety hold in ${directories.length} directories\n`);
