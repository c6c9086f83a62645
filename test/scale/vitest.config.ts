import { ONE_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('scale', {
  ...ONE_AT_A_TIME,
  ...ownReporters('scale', '../../scripts/figures.reporter.ts'),
  // how long a test may take depends on how many it was told to make; each says it itself
  testTimeout: 600_000,
  hookTimeout: 600_000,
});
