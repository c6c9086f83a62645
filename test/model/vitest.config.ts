import { ownReporters, THREE_AT_A_TIME, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('model', {
  ...THREE_AT_A_TIME,
  ...ownReporters('model'),
  testTimeout: 24 * 3600_000,
  hookTimeout: 120_000,
});
