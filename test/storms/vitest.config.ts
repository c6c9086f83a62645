import { ONCE_MORE_IN_CI, ONE_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('storms', {
  ...ONCE_MORE_IN_CI,
  ...ONE_AT_A_TIME, // each is to have the machine for itself
  ...ownReporters('storms', '../../scripts/figures.reporter.ts'),
  testTimeout: 300_000,
  hookTimeout: 300_000,
});
