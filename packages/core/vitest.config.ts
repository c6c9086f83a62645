import { defineConfig } from 'vitest/config';
import { FILES_SHARE_PROCESSES } from '../../scripts/test-suite.config.ts';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    ...FILES_SHARE_PROCESSES,
    name: 'core',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
