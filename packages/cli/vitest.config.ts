import { defineConfig } from 'vitest/config';
import { FILES_SHARE_PROCESSES, ONCE_MORE_IN_CI } from '../../scripts/test-suite.config.ts';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    ...ONCE_MORE_IN_CI,
    ...FILES_SHARE_PROCESSES,
    name: 'cli',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    // Many tests start the program several times; on a busy machine each start takes its time.
    testTimeout: 60_000,
  },
});
