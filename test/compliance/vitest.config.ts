import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'compliance',
    include: ['src/**/*.test.ts'],
    // the proof that the kits bite has a command of its own: npm run prove-kit
    exclude: [...configDefaults.exclude, ...(process.env.WARDEN_TEST_BITE ? [] : ['src/bite.test.ts'])],
    pool: 'forks',
    // every suite has a network, a depot and names of its own: two at a time do not meet
    maxWorkers: 2,
    sequence: { groupOrder: 2 },
    // a machine that is busy with something else may miss a deadline once; who fails twice has a fault. The report names retries
    retry: process.env.CI ? 1 : 0,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
