/** In the guest: runs test files one after the other by vitest's runner and writes what came of them. */
import fs from 'node:fs';
import path from 'node:path';

const { files, report, retry } = JSON.parse(process.env.WARDEN_VM_STEP);
const config = {
  root: process.cwd(),
  name: 'guest',
  setupFiles: [],
  passWithNoTests: false,
  allowOnly: false,
  sequence: { seed: 0, hooks: 'stack', setupFiles: 'list' },
  maxConcurrency: 1,
  testTimeout: 60_000,
  hookTimeout: 60_000,
  retry,
  includeTaskLocation: false,
  tags: [],
  tagsFilter: undefined,
  strictTags: false,
  expect: {},
};
// what vitest's assertions ask about the process they are in
globalThis.__vitest_worker__ = {
  config,
  ctx: { pool: 'forks' },
  environment: { name: 'node' },
  filepath: '',
  current: undefined,
  durations: { environment: 0, prepare: 0 },
  rpc: {},
  onCancel() {},
  onCleanup() {},
  providedContext: {},
};

const { startTests } = await import('vitest');
const errors = [];
for (const event of ['unhandledRejection', 'uncaughtException'])
  process.on(event, (error) => errors.push(String(error?.stack ?? error)));

const results = [];
for (const [name, words] of files.map((file) => [file].flat())) {
  const file = path.resolve(name).replace(/\.ts$/, '.js');
  globalThis.__vitest_worker__.filepath = file;
  config.testNamePattern = words === undefined ? undefined : new RegExp(words);
  const [task] = await startTests([file], {
    config,
    importFile: (wanted) => import(wanted),
    onBeforeRunTask: (test) => {
      globalThis.__vitest_worker__.current = test;
    },
    onAfterRunTask: (test) => print(test),
  });
  results.push(fileResult(name, task, words));
  save();
}
process.exit(errors.length === 0 && results.every(({ failed }) => !failed) ? 0 : 1);

function save() {
  fs.writeFileSync(report, JSON.stringify({ results, errors }));
}

function fileResult(name, task, words = '') {
  const wanted = new RegExp(words);
  const all = [];
  collect(task, all);
  // what was not asked for is no skip
  const tests = all.filter(({ name: full, state }) => state === 'fail' || wanted.test(full));
  const failed = task.result?.state === 'fail' || tests.some(({ state }) => state === 'fail');
  return { name, failed, tests, errors: texts(task.result?.errors) };
}

/** Failures of a group's hooks count as a failure of their own. */
function collect(task, tests) {
  for (const child of task.tasks ?? []) {
    if (child.type === 'suite') {
      const own = texts(child.result?.errors);
      if (own.length > 0) tests.push({ name: `${nameOf(child)} (hooks)`, state: 'fail', errors: own });
      collect(child, tests);
    } else
      tests.push({
        name: nameOf(child),
        state: child.result?.state ?? child.mode,
        note: child.result?.note,
        tries: 1 + (child.result?.retryCount ?? 0),
        errors: texts(child.result?.errors),
      });
  }
}

function nameOf(task) {
  const names = [];
  for (let at = task; at && at.type !== undefined && at !== at.file; at = at.suite ?? at.file)
    names.unshift(at.name);
  return names.join(' > ');
}

function texts(errors) {
  return (errors ?? []).map(({ message, stack, diff }) =>
    [stack ?? message, diff].filter(Boolean).join('\n'),
  );
}

function print(test) {
  const { state, duration } = test.result ?? {};
  process.stdout.write(`${state ?? test.mode} ${Math.round(duration ?? 0)} ms ${nameOf(test)}\n`);
  for (const text of texts(test.result?.errors)) process.stdout.write(`${text}\n`);
}
