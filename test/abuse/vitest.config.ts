import { ONE_AT_A_TIME, ownReporters, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('abuse', {
  ...ONE_AT_A_TIME, // storms take what there is, and a race needs its processor
  ...ownReporters('abuse', './src/table.reporter.ts'),
  testTimeout: 300_000,
  hookTimeout: 120_000,
});
