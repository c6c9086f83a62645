import { FOUR_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('model', {
  ...FOUR_AT_A_TIME,
  ...ownReporters('model'),
  testTimeout: 24 * 3600_000,
  hookTimeout: 120_000,
});
