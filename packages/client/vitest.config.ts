import { defineConfig } from 'vitest/config';
import { FILES_SHARE_PROCESSES, ONCE_MORE_IN_CI } from '../../scripts/test-suite.config.ts';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    ...ONCE_MORE_IN_CI,
    ...FILES_SHARE_PROCESSES,
    name: 'client',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
