import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'net-nftables',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    maxConcurrency: 2, // of the suites of kernel.test.ts
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
