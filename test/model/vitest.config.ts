import { ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('model', {
  maxWorkers: 4, // they wait for half of their time
  ...ownReporters('model'),
  testTimeout: 24 * 3600_000,
  hookTimeout: 120_000,
});
