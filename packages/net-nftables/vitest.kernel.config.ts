import { defineConfig } from 'vitest/config';

// The suites that src/kernel.test.ts runs inside a network namespace of their own.
export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'net-nftables kernel',
    include: ['test/**/*.kernel.ts'],
    pool: 'forks',
    fileParallelism: false,
    // a machine that is busy with something else may miss a deadline once; who fails twice has a fault. The
    // report names retries
    retry: process.env.CI ? 1 : 0,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
