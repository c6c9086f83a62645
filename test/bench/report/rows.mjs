// What is compared with what, and what it must be. A row is a ratio of two medians, or one median with an
// absolute target.

import { trees } from '../sections/copies.mjs';
import { crowds, LOOP_LIVES } from '../sections/crowd.mjs';

const atMost = (most) => ({ most });
const atLeast = (least) => ({ least });

/**
 * `id` names the row in the baseline; `over` and `under` name samples; `section` is measured again when the
 * row got worse.
 */
export function rows(isShort) {
  return [
    ...lives(),
    ...crowd(isShort),
    ...parallel(),
    ...output(),
    ...docker(isShort),
    ...copies(isShort),
    ...starts(isShort),
    ...extras(),
  ];
}

function row(section, what, over, under, target = {}) {
  return { id: what, section, what, over, under, ...target };
}

function lives() {
  const overPeer = (what, peer, times) => row('lives', `${peer} ÷ ${what}`, peer, what, atLeast(times));
  return [
    row('lives', 'warden create ÷ floor', 'warden create', 'floor create', atMost(3)),
    overPeer('warden create', 'crun run --detach', 1),
    overPeer('warden create', 'runc run --detach', 1),
    row('lives', 'warden run true ÷ floor', 'warden run true', 'floor run true', atMost(2)),
    row('lives', 'warden run true ÷ floor with the same shell', 'warden run true', 'floor run bash'),
    row(
      'lives',
      "warden run true, a container's first two ÷ floor's first two",
      'warden first run true',
      'floor first run true',
      atMost(2),
    ),
    row(
      'lives',
      "warden run true, a container's first two ÷ floor's first two with the same shell",
      'warden first run true',
      'floor first run bash',
    ),
    overPeer('warden run true', 'crun exec true', 3),
    overPeer('warden run true', 'runc exec true', 10),
    row('lives', 'warden destroy ÷ create', 'warden destroy', 'warden create', atMost(1.5)),
    row('lives', 'warden destroy ÷ floor', 'warden destroy', 'floor destroy'),
    row('warm', 'claim of a prepared container, ms', 'claim', undefined, {
      most: 1,
      scale: 1e-3,
      isAbsolute: true,
    }),
    row(
      'lives',
      'create, idle before ÷ floor',
      'warden create, idle before',
      'floor create, idle before',
      atMost(3),
    ),
    row(
      'lives',
      'run true, idle before ÷ floor',
      'warden run true, idle before',
      'floor run true, idle before',
      atMost(2),
    ),
    row(
      'lives',
      "run true, a container's first two, idle before ÷ floor's first two",
      'warden first run true, idle before',
      'floor first run true, idle before',
      atMost(2),
    ),
    row(
      'lives',
      'destroy, idle before ÷ create, idle before',
      'warden destroy, idle before',
      'warden create, idle before',
      atMost(1.5),
    ),
    ...['create', 'run true', 'destroy'].map((what) =>
      row(
        'lives',
        `${what}, fresh daemon ÷ floor`,
        `warden ${what}, fresh daemon`,
        `floor ${what}, fresh daemon`,
      ),
    ),
    row('warm', 'claim, fresh daemon, ms', 'claim, fresh daemon', undefined, {
      scale: 1e-3,
      isAbsolute: true,
    }),
    row('lives', 'info, ms', 'info', undefined, { most: 1, scale: 1e-3, isAbsolute: true }),
    row('lives', 'ping, ms', 'ping', undefined, { most: 0.2, scale: 1e-3, isAbsolute: true }),
    row('lives', 'ping ÷ a bare echo between two Node programs', 'ping beside an echo', 'echo'),
    row('lives', 'ping, idle before, ms', 'ping, idle before', undefined, { scale: 1e-3, isAbsolute: true }),
    row('lives', 'ping, idle before ÷ a bare echo, idle before', 'ping, idle before', 'echo, idle before'),
    row(
      'confinement',
      'create with confinement ÷ without',
      'confined create',
      'unconfined create',
      atMost(1.5),
    ),
    row(
      'confinement',
      'run true with confinement ÷ without',
      'confined run true',
      'unconfined run true',
      atMost(1.5),
    ),
  ];
}

function crowd(isShort) {
  const most = crowds(isShort).at(-1);
  const absolute = (what, over, limit, scale = 1) =>
    row('crowd', what, over, undefined, { most: limit, scale, isAbsolute: true });
  return [
    ...crowds(isShort).map((alive) =>
      row(
        'crowd',
        `create at ${alive} alive ÷ at 0`,
        `create at ${alive} alive`,
        'create at 0 alive',
        atMost(1.3),
      ),
    ),
    absolute(`info at ${most}, ms`, 'info in the crowd', 1, 1e-3),
    absolute(`list at ${most}, ms`, 'list in the crowd', 5, 1e-3),
    absolute(`ping at ${most}, ms`, 'ping in the crowd', 0.2, 1e-3),
    absolute(
      `event loop late at most, during ${LOOP_LIVES} creates and destroys at ${most}, ms`,
      'event loop late in the crowd ms',
      10,
    ),
    absolute(
      `event loop late at most, during ${LOOP_LIVES} creates and destroys at ${most}, without its waits for a processor, ms`,
      'event loop late in the crowd, without waits for a processor ms',
      10,
    ),
    absolute('memory per idle container (PSS), KB', 'PSS per idle container KB', 150),
    absolute(`memory of the daemon at ${most}, MB`, 'daemon RSS in the crowd KB', 250, 1 / 1_024),
  ];
}

function parallel() {
  const eight = (who) => [`${who} cycles/s, 8 creators`, `${who} cycles/s, 1 creators`];
  return [
    row('parallel', '8 creators ÷ 1 creator', ...eight('warden'), atLeast(1.4)),
    row('parallel', 'floor: 8 creators ÷ 1 creator', ...eight('floor')),
  ];
}

function output() {
  const rate = (what, over, target = {}) =>
    row('output', `${what}, GB/s`, over, undefined, { ...target, isAbsolute: true });
  const pipes = "live job output at the job's pipes";
  return [
    rate('live job output to a client', 'job output GB/s', atLeast(1.2)),
    row('output', 'live job output to a client ÷ a pipe inside', 'job output GB/s', 'a pipe inside GB/s'),
    rate('live job output to a client, pages lent by the writer', 'lent job output GB/s'),
    // what the writer copies is not ours to make faster: see "The writer decides" in
    // docs/performance/output-and-copies.md
    rate(`${pipes}, pages lent by the writer`, 'lent job output at the pipes GB/s', atLeast(3)),
    row(
      'output',
      `${pipes}, pages lent by the writer ÷ floor`,
      'lent job output at the pipes GB/s',
      'floor: a pipe, lent GB/s',
    ),
    rate(`${pipes}, copied by the writer`, 'job output at the pipes GB/s'),
    row(
      'output',
      `${pipes}, copied by the writer ÷ floor`,
      'job output at the pipes GB/s',
      'floor: a pipe, copied GB/s',
    ),
    row('output', `${pipes} ÷ a pipe inside`, 'job output at the pipes GB/s', 'a pipe inside GB/s'),
    rate('live job output to a client, in memory of its own', 'job output, own memory GB/s'),
    rate(`${pipes}, in memory of its own`, 'job output at the pipes, own memory GB/s'),
    rate('job output that is kept', 'kept job output GB/s'),
    row('output', 'growth of the daemon with a slow reader, MB', 'growth with a slow reader MB', undefined, {
      most: 4,
      isAbsolute: true,
    }),
  ];
}

function copies(isShort) {
  return Object.values(trees(isShort)).flatMap(({ label }) =>
    ['copy_in', 'copy_out'].flatMap((verb) => [
      row('copies', `${verb} ÷ cp -a, ${label}`, `${verb} ${label}`, `cp -a ${label}`, atMost(1.5)),
      row('copies', `rsync ÷ ${verb}, ${label}`, `rsync -a ${label}`, `${verb} ${label}`, atLeast(1)),
    ]),
  );
}

function docker(isShort) {
  const over = (what, peer, name, target) =>
    row('docker', `${peer} ÷ ${what}`, peer, `${name} beside docker`, target);
  const files = Object.values(trees(isShort)).flatMap(({ label }) =>
    ['in', 'out'].map((way) =>
      row(
        'docker',
        `docker cp ${way} ÷ copy_${way}, ${label}`,
        `docker cp ${way} ${label}`,
        `copy_${way} beside docker ${label}`,
        atLeast(1),
      ),
    ),
  );
  return [
    over('warden create', 'docker run --detach', 'warden create'),
    over('warden run true', 'docker exec true', 'warden run true', atLeast(40)),
    over(
      "warden run true, a container's first two",
      'docker exec true',
      'warden first run true',
      atLeast(40),
    ),
    over('warden destroy', 'docker rm', 'warden destroy'),
    ...files,
  ];
}

function starts(isShort) {
  const most = crowds(isShort).at(-1);
  return [
    row('starts', 'cold start, ms', 'cold start ms', undefined, { most: 300, isAbsolute: true }),
    row('starts', 'very first cold start, nothing compiled, ms', 'very first start ms', undefined, {
      isAbsolute: true,
    }),
    row('crowd', `restart with ${most}, ms`, `restart with ${most} ms`, undefined, {
      most: 3_000,
      isAbsolute: true,
    }),
  ];
}

function extras() {
  return [
    row('quota', 'create with a quota image ÷ without', 'create with a quota image', 'create without quota'),
    row('durable', 'create with records flushed ÷ not', 'create durable', 'create not durable'),
    row('durable', 'destroy with records flushed ÷ not', 'destroy durable', 'destroy not durable'),
  ];
}
