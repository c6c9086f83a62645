import { defineConfig } from 'vitest/config';
import { ONCE_MORE_IN_CI } from '../../scripts/test-suite.config.ts';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    ...ONCE_MORE_IN_CI,
    name: 'server',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
  },
});
