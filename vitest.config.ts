import os from 'node:os';
import { defineConfig } from 'vitest/config';
import LongestFirst from './scripts/longest-first.sequencer.ts';

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    // a good part of each file is waiting for processes, timers and the kernel, and those that make containers
    // have a network, a depot and names of their own; projects that need more room say so
    maxWorkers: Math.max(4, os.availableParallelism()),
    reporters: [
      'default',
      ['junit', { outputFile: 'reports/junit.xml' }],
      './scripts/closing-line.reporter.ts',
    ],
    // long suites have commands of their own: npm run abuse, deb:test, faults, model, page, storms, scale, soak
    projects: [
      'packages/*',
      '!packages/*-linux-*',
      'test/*',
      '!test/abuse',
      '!test/scale',
      '!test/storms',
      '!test/model',
      '!test/deb',
      '!test/page',
      ...(process.env.WARDEN_TEST_FAULTS ? [] : ['!test/faults']),
    ],
  },
});
