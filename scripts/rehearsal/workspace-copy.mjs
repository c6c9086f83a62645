// A copy of the checkout as it is, with what was built: versions are raised and packages published from
// there, so that a rehearsal changes nothing in the checkout.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

function must(command, args, cwd) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 ** 2,
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}

/** Files of git's, new ones that are not ignored, and the built ones that packages carry. */
export function copyWorkspace(root, target) {
  const listed = must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], root);
  for (const file of listed.split('\0')) {
    if (file === '' || !fs.existsSync(path.join(root, file))) continue;
    fs.mkdirSync(path.dirname(path.join(target, file)), { recursive: true });
    fs.cpSync(path.join(root, file), path.join(target, file), { verbatimSymlinks: true });
  }
  for (const name of fs.readdirSync(path.join(root, 'packages')))
    for (const built of ['dist', 'bin', 'libwarden_native.so']) {
      const from = path.join(root, 'packages', name, built);
      if (fs.existsSync(from))
        fs.cpSync(from, path.join(target, 'packages', name, built), { recursive: true });
    }
  // publishing tags what it has published
  must('git', ['init', '--quiet', '--initial-branch', 'main'], target);
  for (const [key, value] of [
    ['user.name', 'rehearsal'],
    ['user.email', 'rehearsal@localhost'],
  ])
    must('git', ['config', key, value], target);
  commit(target, 'what is rehearsed');
}

export function commit(target, message) {
  must('git', ['add', '--all'], target);
  must('git', ['commit', '--quiet', '--allow-empty', '--no-verify', '--message', message], target);
}
