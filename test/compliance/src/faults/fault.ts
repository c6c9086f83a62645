/** Seeded faults: drivers that are right but for one thing. The proof of the kits demands that each is caught. */
import {
  type CgroupSubject,
  cgroupCompliance,
  type FilesystemSubject,
  filesystemCompliance,
  type InitSubject,
  initCompliance,
  type NetworkSubject,
  networkCompliance,
  type QuotaSubject,
  quotaCompliance,
} from '@warden/driver-compliance';

/** What each contract's kit works on. */
export interface Subjects {
  readonly filesystem: FilesystemSubject;
  readonly cgroup: CgroupSubject;
  readonly network: NetworkSubject;
  readonly quota: QuotaSubject;
  readonly init: InitSubject;
}

/** The kits, by contract. */
export const KITS = {
  filesystem: filesystemCompliance,
  cgroup: cgroupCompliance,
  network: networkCompliance,
  quota: quotaCompliance,
  init: initCompliance,
} as const;

type DriverOf<C extends keyof Subjects> = Subjects[C]['driver'];

/** One fault: its members stand before the driver's own. */
export interface Fault<C extends keyof Subjects> {
  readonly name: string;
  /** The test that catches it, where running the whole kit takes long; default: the first that fails. */
  readonly by?: string;
  /** Of a member that drivers need not have, and those in memory have not: it is tried in a driver of the host. */
  readonly isOfOptional?: true;
  readonly members: (driver: DriverOf<C>, subject: Subjects[C]) => Partial<DriverOf<C>>;
}

/** A driver with some members of its own and all others of `target`. */
export function overlaid<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get: (_, key) => {
      if (Object.hasOwn(members, key)) return members[key as keyof T];
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The subject with the fault in every instance of its driver. */
export function faulty<C extends keyof Subjects>(subject: Subjects[C], fault: Fault<C>): Subjects[C] {
  type Driver = DriverOf<C> & object;
  const spoil = (driver: Driver): Driver =>
    overlaid<Driver>(driver, fault.members(driver, subject) as Partial<Driver>);
  return overlaid<Subjects[C]>(subject, {
    driver: spoil(subject.driver as Driver),
    restart: () => {
      const next = (subject.restart as () => Driver | Promise<Driver>)();
      return next instanceof Promise ? next.then(spoil) : spoil(next);
    },
  } as unknown as Partial<Subjects[C]>);
}

/** A number that is another one at every call. */
export function counter(): () => number {
  let number = 0;
  return () => number++;
}
