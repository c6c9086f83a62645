/**
 * What must be true of a daemon: its containers and their jobs, ports, rules, limits and files. Knows nothing
 * of how it is asked.
 */
import type { ExitVerdict } from '@warden/interface';

/** What one world is like; chosen with the history. */
export interface Settings {
  /** Disk limits, by images. */
  readonly quota: boolean;
  /** A prepared container. */
  readonly warm: boolean;
  /** The depot is on a small file system of its own, which can be filled. */
  readonly small: boolean;
}

/** Containers that fit. */
export const CAPACITY = 4;
export const HANDLES = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay'] as const;

/** How a job must end. */
export interface Ending {
  readonly exitStatus: number;
  readonly reason: ExitVerdict['reason'];
  readonly signal?: number;
  /** `undefined`: whatever it had printed until then. */
  readonly stdout?: string;
  readonly stderr?: string;
}

/** A job somebody can link to. */
export interface ModelJob {
  readonly id: number;
  /** What it says when it is told to end, and the ending then; `undefined`: it does not listen. */
  readonly told?: Ending;
  /** Set once it has ended. */
  ending: Ending | undefined;
  /** A link that waits, with what it got. */
  pending: Promise<Answer> | undefined;
}

/** What came of a link that was begun earlier. */
export type Answer =
  | {
      readonly exitStatus: number;
      readonly verdict: ExitVerdict | undefined;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly error: unknown };

export interface ModelBox {
  readonly handle: string;
  readonly directory: string;
  readonly hostIp: string;
  readonly containerIp: string;
  state: 'active' | 'stopped';
  /** Its init was killed: it can be looked at and destroyed, and no next daemon will have it. */
  isInitDead: boolean;
  readonly jobs: Map<number, ModelJob>;
  /** Host port to container port. */
  readonly ports: Map<number, number>;
  egress: number;
  isAllowed: boolean;
  memory: bigint | undefined;
  cpu: bigint | undefined;
  bandwidth: string | undefined;
  blockHard: bigint | undefined;
  /** Path inside to content. */
  readonly files: Map<string, string>;
  readonly events: Set<string>;
  /** A job of its own ignores SIGTERM: only a kill stops it at once. */
  isStubborn: boolean;
}

export interface Model {
  readonly settings: Settings;
  /** In order of creation. */
  readonly boxes: Map<string, ModelBox>;
  /** Distinguishes names, texts and files. */
  serial: number;
}

export function newModel(settings: Settings): Model {
  return { settings, boxes: new Map(), serial: 0 };
}

/** One of the containers that satisfy a condition. */
export function pickBox(
  model: Readonly<Model>,
  number: number,
  condition: (box: ModelBox) => boolean = () => true,
): ModelBox | undefined {
  const found = [...model.boxes.values()].filter(condition);
  return found[number % Math.max(1, found.length)];
}

export const isActive = (box: ModelBox): boolean => box.state === 'active';

/** Jobs can be started in it. */
export const isRunnable = (box: ModelBox): boolean => box.state === 'active' && !box.isStubborn;

/** One of the jobs that satisfy a condition, with its container. */
export function pickJob(
  model: Readonly<Model>,
  number: number,
  condition: (job: ModelJob, box: ModelBox) => boolean,
): { box: ModelBox; job: ModelJob } | undefined {
  const found = [...model.boxes.values()].flatMap((box) =>
    [...box.jobs.values()].filter((job) => condition(job, box)).map((job) => ({ box, job })),
  );
  return found[number % Math.max(1, found.length)];
}

/** What ends with everything in a container: each job that runs. */
export function endJobs(box: ModelBox, reason: ExitVerdict['reason']): void {
  for (const job of box.jobs.values()) job.ending ??= { exitStatus: 255, reason };
}

/** Ports that containers have. */
export function takenPorts(model: Readonly<Model>): Map<number, ModelBox> {
  return new Map(
    [...model.boxes.values()].flatMap((box) => [...box.ports.keys()].map((port) => [port, box] as const)),
  );
}
