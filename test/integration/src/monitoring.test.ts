/** Metrics, health and readiness of the real daemon, by a unix socket and by a port of loopback. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {
  describeWith,
  HOST_ADDRESS,
  makePlace,
  type ParsedFamily,
  parseOpenMetrics,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './until.ts';

const PORT = 9_464;

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory'], 'whoever watches a daemon', () => {
  let place: TestPlace;
  let daemon: TestDaemon;
  let before: ReturnType<typeof takeInventory>;
  let socket: string;
  const monitoring = (): Record<string, unknown> => ({ port: PORT, socket, socket_permissions: 0o600 });
  beforeAll(async () => {
    place = await makePlace();
    socket = path.join(place.directory, 'monitoring.sock');
    before = takeInventory(place);
    daemon = await startDaemon({ place, config: { monitoring: monitoring(), user: { pool_size: 16 } } });
  });
  afterAll(async () => {
    try {
      await daemon.stop();
      expect(fs.existsSync(socket)).toBe(false);
      expect(await remainingLeaks(place, before)).toEqual([]);
    } finally {
      await daemon.kill();
      await place.remove();
    }
  });

  const ask = (url: string, method = 'GET'): Promise<{ status: number; type: string; body: string }> =>
    new Promise((resolve, reject) => {
      const request = http.request({ socketPath: socket, path: url, method }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('end', () =>
          resolve({ status: response.statusCode!, type: String(response.headers['content-type']), body }),
        );
      });
      request.on('error', reject).end();
    });

  const scrape = async (): Promise<readonly ParsedFamily[]> => parseOpenMetrics((await ask('/metrics')).body);
  const numberOf = (
    families: readonly ParsedFamily[],
    name: string,
    labels: Readonly<Record<string, string>> = {},
  ): number | undefined =>
    families
      .flatMap(({ samples }) => samples)
      .find(
        (one) => one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text),
      )?.value;

  it('finds it alive and ready [operations health]', async () => {
    expect(await ask('/health')).toMatchObject({ status: 200, body: 'alive\n' });
    expect(await ask('/ready')).toMatchObject({ status: 200, body: 'ready\n' });
    expect(await ask('/ready', 'HEAD')).toMatchObject({ status: 200, body: '' });
  });

  it('cannot do anything else there', async () => {
    expect(await ask('/metrics', 'POST')).toMatchObject({ status: 405 });
    expect(await ask('/metrics/../depot')).toMatchObject({ status: 404 });
    expect(await ask('/')).toMatchObject({ status: 404, body: expect.stringContaining('/metrics') });
    expect(fs.statSync(socket).mode & 0o777).toBe(0o600);
  });

  it('can ask at the port of loopback too, and nobody from outside can [operations OpenMetrics]', () => {
    const request = `exec 3<>/dev/tcp/127.0.0.1/${PORT} && printf 'GET /ready HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
    expect(place.network.host.run('bash', '-c', request)).toMatch(
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nready\n$/,
    );
    expect(
      place.network.host.try(['bash', '-c', `exec 3<>/dev/tcp/${HOST_ADDRESS}/${PORT}`]).status,
      'the same port at an address that others reach',
    ).not.toBe(0);
  });

  it('reads OpenMetrics: requests with durations, errors by code, pools, containers, jobs, the process [operations OpenMetrics]', async () => {
    const warden = await daemon.connect();
    const first = await scrape();
    const box = await warden.create();
    await box.run('true');
    const job = await box.spawn('read line < <(sleep 60)');
    await expect(warden.container('nobody').info()).rejects.toThrow('unknown handle');
    const now = await scrape();
    expect((await ask('/metrics')).type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(numberOf(now, 'warden_request_duration_seconds_count', { request: 'Create' })).toBe(1);
    expect(numberOf(now, 'warden_request_duration_seconds_sum', { request: 'Run' })).toBeGreaterThan(0);
    expect(numberOf(now, 'warden_request_errors_total', { request: 'Info', code: 'UNKNOWN_HANDLE' })).toBe(1);
    expect(numberOf(now, 'warden_containers', { state: 'active' })).toBe(1);
    expect(numberOf(now, 'warden_container_creations_total')).toBe(1);
    expect(numberOf(now, 'warden_jobs')).toBe(1);
    expect(numberOf(now, 'warden_job_starts_total')).toBe(2);
    expect(numberOf(now, 'warden_job_ends_total', { reason: 'exited' })).toBe(1);
    for (const pool of ['network', 'uid']) expect(numberOf(now, 'warden_pool_used', { pool })).toBe(1);
    expect(numberOf(now, 'warden_pool_limit', { pool: 'uid' })).toBe(16);
    expect(numberOf(now, 'warden_connections')).toBeGreaterThanOrEqual(1);
    const rss =
      Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1]) * 1_024;
    expect(numberOf(now, 'process_resident_memory_bytes')).toBeGreaterThan(rss / 2);
    const descriptors = fs.readdirSync(`/proc/${daemon.pid}/fd`).length;
    expect(Math.abs(numberOf(now, 'process_open_fds')! - descriptors)).toBeLessThan(16);
    // looked at now and then only: all of this may have been done between two looks
    const looks = (families: readonly ParsedFamily[]): number =>
      numberOf(families, 'warden_event_loop_delay_seconds_count')!;
    await until(async () => looks(await scrape()) > looks(first));
    await job.kill();
    await box.destroy();
    const after = await scrape();
    expect(numberOf(after, 'warden_containers', { state: 'active' })).toBe(0);
    expect(numberOf(after, 'warden_container_destructions_total')).toBe(1);
    expect(numberOf(after, 'warden_jobs')).toBe(0);
    expect(numberOf(after, 'warden_pool_used', { pool: 'uid' })).toBe(0);
  });

  it('sees that a container ran out of memory [operations OpenMetrics]', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create();
    await box.limitMemory(16n * 1024n * 1024n);
    await box.run('x=a; while true; do x=$x$x; done');
    await until(async () => (numberOf(await scrape(), 'warden_out_of_memory_kills_total') ?? 0) >= 1);
    await until(async () => numberOf(await scrape(), 'warden_containers', { state: 'stopped' }) === 1);
  });

  it('finds no name of a container and nothing of what clients send', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create({ handle: 'a-secret-handle' });
    await box.run('echo a-secret-word');
    expect((await ask('/metrics')).body).not.toMatch(/secret/);
  });

  it('counts with each daemon from zero: a job ends once, whichever daemon it outlives [operations OpenMetrics]', async () => {
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'outlives' });
    await box.spawn('exit 3');
    const running = await box.spawn('read line < <(sleep 60)');
    const ends = async (): Promise<number | undefined> =>
      numberOf(await scrape(), 'warden_job_ends_total', { reason: 'exited' });
    await until(async () => (await box.info()).endedJobs?.length === 1);
    await daemon.kill('SIGTERM');
    daemon = await startDaemon({ place, config: { monitoring: monitoring() } });
    const next = (await daemon.connect()).container('outlives');
    expect((await next.info()).endedJobs).toHaveLength(1);
    expect(await ends()).toBeUndefined();
    await next.run('true');
    expect(await ends()).toBe(1);
    const signalled = async (): Promise<number | undefined> =>
      numberOf(await scrape(), 'warden_job_ends_total', { reason: 'signal' });
    expect(await signalled()).toBeUndefined();
    await next.job(running.id).kill();
    await until(async () => (await signalled()) === 1);
    await next.destroy();
  });

  it('waits for a daemon that starts, and leaves one that drains [operations readiness]', async () => {
    const warden = await daemon.connect();
    await warden.create({ handle: 'kept' });
    await daemon.kill();
    const starting = startDaemon({
      place,
      config: { monitoring: monitoring() },
      environment: { WARDEN_FAILPOINT: 'recover.read=1*delay(1500),drain.requests=1*delay(1500)' },
    });
    const phases = new Set<string>();
    const look = async (): Promise<void> => {
      const { status, body } = await ask('/ready').catch(() => ({ status: 0, body: 'nobody\n' }));
      phases.add(`${status} ${body.trim()}`);
    };
    await until(async () => {
      await look();
      return phases.has('200 ready');
    });
    daemon = await starting;
    expect([...phases]).toEqual(expect.arrayContaining(['503 starting', '200 ready']));
    const drained = daemon.kill('SIGUSR2');
    await until(async () => {
      await look();
      return phases.has('503 draining');
    });
    await drained;
    daemon = await startDaemon({ place, config: { monitoring: monitoring() } });
  });

  describeWith(['prometheus-client'], 'with the reader of the Prometheus project', () => {
    it('reads the same families [operations OpenMetrics]', async () => {
      const { body } = await ask('/metrics');
      const reader = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    print(family.name, family.type, len(family.samples))
`;
      const { status, stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', reader], {
        input: body,
        encoding: 'utf8',
      });
      expect([status, stderr]).toEqual([0, '']);
      const ours = parseOpenMetrics(body).map(
        ({ name, type, samples }) => `${name} ${type} ${samples.length}`,
      );
      expect(stdout.trim().split('\n')).toEqual(ours);
    });
  });

  describe('of a daemon that is not told to', () => {
    it('finds nothing: no port, no socket, no timer', async () => {
      const other = await makePlace();
      const inventory = takeInventory(other);
      const quiet = await startDaemon({ place: other });
      try {
        const listening = other.network.host.run('ss', '-Hltn');
        expect(listening).toBe('');
        expect(fs.readdirSync(other.directory).filter((name) => name.endsWith('.sock'))).toEqual([
          'warden.sock',
        ]);
      } finally {
        await quiet.stop();
        expect(await remainingLeaks(other, inventory)).toEqual([]);
        await other.remove();
      }
    });
  });
});
