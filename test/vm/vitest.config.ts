import { ONE_AT_A_TIME, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('vm', {
  ...ONE_AT_A_TIME,
  sequence: { groupOrder: 5 },
  testTimeout: 120_000,
  hookTimeout: 120_000,
});
