import { ONCE_MORE_IN_CI, ONE_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('page', {
  ...ONE_AT_A_TIME,
  ...ONCE_MORE_IN_CI,
  ...ownReporters('page'),
  testTimeout: 120_000,
  hookTimeout: 120_000,
});
