import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    reporters: [
      'default',
      ['junit', { outputFile: 'reports/junit.xml' }],
      './scripts/closing-line.reporter.ts',
    ],
    projects: ['packages/*', '!packages/*-linux-*', 'test/*', '!test/abuse'],
  },
});
