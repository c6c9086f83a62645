import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'scale',
    include: ['src/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    // how long a test may take depends on how many it was told to make; each says it itself
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: [
      'default',
      ['junit', { outputFile: '../../reports/scale-junit.xml' }],
      '../../scripts/figures.reporter.ts',
      '../../scripts/closing-line.reporter.ts',
    ],
  },
});
