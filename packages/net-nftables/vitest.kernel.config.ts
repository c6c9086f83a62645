import { defineConfig } from 'vitest/config';
import { IN_FRESH_NAMESPACES } from '../../scripts/isolated-pool.ts';

// The suites that src/kernel.test.ts runs, each in a network namespace of its own.
export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'net-nftables kernel',
    include: ['test/**/*.kernel.ts'],
    pool: IN_FRESH_NAMESPACES,
    maxWorkers: 2, // they wait for packets more than they compute
    // a machine that is busy with something else may miss a deadline once; who fails twice has a fault. The
    // report names retries
    retry: process.env.CI ? 1 : 0,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
