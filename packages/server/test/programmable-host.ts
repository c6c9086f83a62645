/** A `WardenHost` whose methods a test programs; every call is recorded with its arguments. */
import type { Container, ContainerFiles, ContainerInfo, Job, Warden, WardenHost } from '@warden/interface';

/** One recorded call: `limitMemory`, on which handle and job, with which arguments. */
export interface RecordedCall {
  readonly method: string;
  readonly handle?: string;
  readonly job?: number;
  readonly args: readonly unknown[];
}

/** What the methods do; those not given fail, so that a test notices a call it did not expect. */
export interface HostProgram {
  readonly warden?: Partial<Warden>;
  readonly container?: Partial<Container>;
  readonly job?: Partial<Job>;
  readonly files?: Partial<ContainerFiles>;
}

export const SAMPLE_INFO: ContainerInfo = {
  state: 'active',
  events: ['out of memory'],
  hostIp: '10.254.0.1',
  containerIp: '10.254.0.2',
  containerPath: '/var/lib/warden/abc',
  memoryStat: { cache: 0n, total_unevictable: 7n },
  cpuStat: { usage: 1n, user: 2n, system: 3n },
  diskStat: { bytesUsed: 4n, inodesUsed: 5n },
  bandwidthStat: { inRate: 6n, inBurst: 7n, outRate: 8n, outBurst: 9n },
  pressureStat: {
    cpu: { some: { avg10: 0.07, avg60: 12.34, avg300: 100, total: 5n } },
    io: {
      some: { avg10: 0, avg60: 0, avg300: 0, total: 1n },
      full: { avg10: 0.5, avg60: 0, avg300: 0, total: 1n },
    },
  },
  jobIds: [1, 300],
};

export const JOB_INFO: ContainerInfo = { state: 'stopped', events: [], jobIds: [] };

type Methods = Readonly<Record<string, ((...args: never[]) => unknown) | undefined>>;

export class ProgrammableHost implements WardenHost {
  readonly calls: RecordedCall[] = [];
  openSessions = 0;
  closedSessions = 0;
  readonly #program: HostProgram;

  constructor(program: HostProgram = {}) {
    this.#program = program;
  }

  openSession(): Warden {
    this.openSessions++;
    const methods = this.#methods(this.#program.warden, {}, [
      'ping',
      'echo',
      'list',
      'create',
      'infoMany',
      'metrics',
      'events',
    ]);
    return {
      ...methods,
      container: (handle: string) => this.#container(handle),
      close: async () => {
        this.closedSessions++;
      },
    } as unknown as Warden;
  }

  #container(handle: string): Container {
    const methods = this.#methods(this.#program.container, { handle }, [
      'info',
      'spawn',
      'stop',
      'destroy',
      'netIn',
      'netOut',
      'netRules',
      'removeNetRules',
      'copyIn',
      'copyOut',
      'limitMemory',
      'limitCpu',
      'limitDisk',
      'limitBandwidth',
      'properties',
      'setProperties',
      'pause',
      'resume',
    ]);
    const files = this.#methods(this.#program.files, { handle }, [
      'stat',
      'list',
      'read',
      'write',
      'watch',
      'readTar',
      'writeTar',
    ]);
    return { ...methods, handle, files, job: (id: number) => this.#job(handle, id) } as unknown as Container;
  }

  #job(handle: string, id: number): Job {
    return {
      ...this.#methods(this.#program.job, { handle, job: id }, [
        'link',
        'stream',
        'kill',
        'write',
        'endInput',
        'resize',
        'pipes',
      ]),
      id,
    } as unknown as Job;
  }

  #methods(program: object | undefined, target: { handle?: string; job?: number }, names: string[]): object {
    return Object.fromEntries(
      names.map((method) => [
        method,
        (...args: never[]) => {
          this.calls.push({ method, ...target, args });
          const behaviour = (program as Methods | undefined)?.[method];
          if (behaviour === undefined) throw new Error(`the test did not program ${method}`);
          return behaviour(...args);
        },
      ]),
    );
  }
}
