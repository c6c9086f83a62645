import { defineConfig } from 'vitest/config';

export default defineConfig({
  ssr: { resolve: { conditions: ['source', 'module', 'node', 'development|production'] } },
  test: {
    name: 'model',
    include: ['src/**/*.test.ts'],
    pool: 'forks',
    // every history has a network, a depot and names of its own: two at a time do not meet
    maxWorkers: 2,
    testTimeout: 24 * 3600_000,
    hookTimeout: 120_000,
    reporters: [
      'default',
      ['junit', { outputFile: '../../reports/model-junit.xml' }],
      '../../scripts/closing-line.reporter.ts',
    ],
  },
});
