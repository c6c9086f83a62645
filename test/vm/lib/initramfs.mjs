/**
 * What the kernel starts with: a shell, the first script, and of the modules those that are needed, with what
 * they need themselves.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Archive } from './cpio.mjs';

/** By file name without `.ko`, or the beginning of it. A module that a kernel has built in is not missed. */
const MODULES = [
  'virtio_pci',
  'virtio_blk',
  '9p',
  '9pnet_virtio',
  'ext4',
  'crc32c_generic',
  'crc32c-intel',
  'xfs',
  'btrfs',
  'aufs',
  'overlay',
  'fuse',
  'loop',
  'quota_v2',
  'veth',
  'dummy',
  'ifb',
  'sch_tbf',
  'sch_ingress',
  'sch_fq_codel',
  'cls_u32',
  'act_mirred',
  'act_police',
  'cls_matchall',
  'nfnetlink',
  'nf_tables',
  'nft_',
  'nf_nat',
  'nf_conntrack',
  'nf_conntrack_netlink',
  'nf_log_syslog',
  'nf_reject_',
  'unix_diag',
  'inet_diag',
  'tcp_diag',
];

const BUSYBOX = ['/bin/busybox', '/usr/bin/busybox'];

/**
 * Writes the archive to `target`; another kernel's own initramfs comes before it, so that ours has the last
 * word on `/init`.
 */
export function writeInitramfs(target, kernel, work) {
  const archive = new Archive();
  archive.file('init', fs.readFileSync(new URL('../guest/init', import.meta.url)));
  archive.file('bin/busybox', fs.readFileSync(busybox()));
  for (const name of ['proc', 'sys', 'dev', 'run', 'host', 'results', 'layer', 'guest'])
    archive.directory(name);
  if (kernel.modules) {
    const release = path.basename(kernel.modules);
    const root = path.join(work, 'modules');
    stageModules(kernel.modules, path.join(root, 'lib/modules', release));
    index(root, release);
    archive.tree(`lib/modules/${release}`, path.join(root, 'lib/modules', release));
  }
  const own = kernel.initrd ? fs.readFileSync(kernel.initrd) : Buffer.alloc(0);
  const gap = Buffer.alloc((512 - (own.length % 512)) % 512);
  fs.writeFileSync(target, Buffer.concat([own, gap, archive.end()]));
}

function busybox() {
  const found = BUSYBOX.find((file) => fs.existsSync(file));
  if (found === undefined) throw new Error('busybox is missing: apt-get install busybox-static');
  return found;
}

function stageModules(source, target) {
  const files = new Map();
  for (const file of fs.readdirSync(source, { recursive: true, encoding: 'utf8' }))
    if (/\.ko(\.\w+)?$/.test(file)) files.set(moduleName(file), file);
  const wanted = [...files.keys()].filter((name) =>
    MODULES.some((word) => name === moduleName(word) || (word.endsWith('_') && name.startsWith(word))),
  );
  const taken = new Set();
  while (wanted.length > 0) {
    const name = wanted.pop();
    if (taken.has(name) || !files.has(name)) continue;
    taken.add(name);
    const file = files.get(name);
    const copy = path.join(target, file);
    fs.mkdirSync(path.dirname(copy), { recursive: true });
    fs.copyFileSync(path.join(source, file), copy);
    wanted.push(...needs(copy).map(moduleName));
  }
  for (const file of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo'])
    if (fs.existsSync(path.join(source, file)))
      fs.copyFileSync(path.join(source, file), path.join(target, file));
}

/** What the module itself says: hard dependencies, and those it asks for when it is loaded. */
function needs(file) {
  const list = [];
  for (const field of ['depends', 'softdep']) {
    const answer = spawnSync('modinfo', ['-F', field, file], { encoding: 'utf8' });
    if (answer.status !== 0)
      throw new Error(`modinfo ${file} failed: ${answer.error?.message ?? answer.stderr}`);
    list.push(...answer.stdout.split(/[\s,]+/).filter((word) => word !== '' && !word.endsWith(':')));
  }
  return list;
}

function moduleName(file) {
  return path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

function index(root, release) {
  const result = spawnSync('depmod', ['-b', root, release], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`depmod failed: ${result.error?.message ?? result.stderr}`);
}
