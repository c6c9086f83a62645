import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'storms',
    include: ['src/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    // one storm at a time: each is to have the machine for itself
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: [
      'default',
      ['junit', { outputFile: '../../reports/storms-junit.xml' }],
      '../../scripts/figures.reporter.ts',
      '../../scripts/closing-line.reporter.ts',
    ],
  },
});
