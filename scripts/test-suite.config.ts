/** What the configurations of the suites below `test/` have in common. */
import { defineConfig, type ViteUserConfig } from 'vitest/config';

type Options = NonNullable<ViteUserConfig['test']>;

/** For what needs the machine, or files of the checkout, for itself. */
export const ONE_AT_A_TIME = { maxWorkers: 1, fileParallelism: false } as const satisfies Options;

/**
 * A machine that is busy with something else may miss a deadline once; who fails twice has a fault. The
 * report names retries.
 */
export const ONCE_MORE_IN_CI: Options = { retry: process.env.CI ? 1 : 0 };

/**
 * For files that take nothing from one another's modules: a process of its own for each, with vitest, the
 * sources and koffi loaded anew, costs half a second of a processor. Not where a module is put in the place of
 * another one (`vi.mock`), since a file before may have loaded the other one already, nor where a module that
 * several files import has hooks (`afterEach`) at its top: it is loaded once, and they are the first file's.
 */
export const FILES_SHARE_PROCESSES = { isolate: false } as const satisfies Options;

/** A project over the sources of the packages, each file of it a process unless `options` say otherwise. */
export function testSuite(name: string, options: Options): ViteUserConfig {
  return defineConfig({
    ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
    test: { name, include: ['src/**/*.test.ts'], pool: 'forks', ...options },
  });
}

/** For a suite with a command of its own: its JUnit file, the tables of `more`, and the closing line. */
export function ownReporters(name: string, ...more: readonly string[]): Options {
  return {
    reporters: [
      'default',
      ['junit', { outputFile: `../../reports/${name}-junit.xml` }],
      ...more,
      '../../scripts/closing-line.reporter.ts',
    ],
  };
}
