import { ONCE_MORE_IN_CI, ONE_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('deb', {
  ...ONE_AT_A_TIME,
  ...ONCE_MORE_IN_CI,
  ...ownReporters('deb'),
  testTimeout: 300_000,
  hookTimeout: 300_000,
});
