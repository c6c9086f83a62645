import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    reporters: [
      'default',
      ['junit', { outputFile: 'reports/junit.xml' }],
      './scripts/closing-line.reporter.ts',
    ],
    // two long suites have commands of their own: npm run abuse, npm run faults
    projects: [
      'packages/*',
      '!packages/*-linux-*',
      'test/*',
      '!test/abuse',
      ...(process.env.WARDEN_TEST_FAULTS ? [] : ['!test/faults']),
    ],
  },
});
