/**
 * A network driver in another network namespace. Drivers work in the namespace of their process, and the
 * process of the test runner must not be the one that is changed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { type NetworkDriver, silentLogger, WardenError } from '@warden/interface';
import { type NftablesNetworkOptions, nftablesNetwork, noNetwork } from '@warden/net-nftables';
import type { Namespace } from '@warden/test-harness';

const PROGRAM = path.join(import.meta.dirname, 'driver-process.mjs');

/** No network, or options of nftables besides the table's name. */
export type NetworkKind = 'none' | Omit<NftablesNetworkOptions, 'table'>;

/** The driver, and the means to end its process. */
export interface RemoteDriver {
  readonly driver: NetworkDriver;
  close(): Promise<void>;
}

type Call = (method: keyof NetworkDriver, ...args: readonly unknown[]) => Promise<never>;

/** Starts the driver in `host`. What is synchronous and pure in the contract is answered by a local instance. */
export async function remoteDriver(host: Namespace, kind: NetworkKind): Promise<RemoteDriver> {
  const [command, ...args] = host.enter([process.execPath, PROGRAM, JSON.stringify(kind)]);
  const child = spawn(command!, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  const call = caller(child);
  await once(child, 'message');
  const local = (kind === 'none' ? noNetwork() : nftablesNetwork({ ...kind, table: 'warden_kit' }))({
    logger: silentLogger,
  });
  const driver: NetworkDriver = {
    role: 'network',
    name: local.name,
    supports: await call('supports'),
    plan: (spec) => local.plan(spec),
    inside: (spec, state) => local.inside(spec, state),
    probe: () => call('probe'),
    setup: (spec) => call('setup', spec),
    ...(local.begin && { begin: (spec, state) => call('begin', spec, state) }),
    attach: (spec, state, pid) => call('attach', spec, state, pid),
    mapPort: (spec, state, mapping) => call('mapPort', spec, state, mapping),
    allowEgress: (spec, state, rule) => call('allowEgress', spec, state, rule),
    ...(local.withdraw && { withdraw: (spec, state, rules) => call('withdraw', spec, state, rules) }),
    setBandwidth: (spec, state, limit) => call('setBandwidth', spec, state, limit),
    bandwidth: (spec, state) => call('bandwidth', spec, state),
    restore: (spec, state, recorded) => call('restore', spec, state, recorded),
    release: (spec, state) => call('release', spec, state),
    sweep: (keep) => call('sweep', keep),
    close: () => call('close'),
  };
  return {
    driver,
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

interface Answer {
  readonly id: number;
  readonly value?: never;
  readonly error?: {
    readonly known: boolean;
    readonly code: never;
    readonly message: string;
    readonly fields: Record<string, unknown>;
  };
}

function caller(child: ChildProcess): Call {
  let nextId = 1;
  const waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  child.on('message', ({ id, value, error }: Answer) => {
    const one = waiting.get(id);
    waiting.delete(id);
    if (error)
      one?.reject(
        error.known
          ? new WardenError(error.code, error.message, { fields: error.fields })
          : new Error(error.message),
      );
    else one?.resolve(value as never);
  });
  child.on('exit', () => {
    for (const one of waiting.values()) one.reject(new Error('the driver process ended'));
  });
  return (method, ...args) =>
    new Promise((resolve, reject) => {
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      child.send({ id, method, args });
    });
}
