import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'abuse',
    include: ['src/**/*.test.ts'],
    pool: 'forks',
    // one at a time: storms take what there is, and a race needs its processor
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    reporters: [
      'default',
      ['junit', { outputFile: '../../reports/abuse-junit.xml' }],
      './src/table.reporter.ts',
      '../../scripts/closing-line.reporter.ts',
    ],
  },
});
