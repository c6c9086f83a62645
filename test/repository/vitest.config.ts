import { ONE_AT_A_TIME, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('repository', {
  ...ONE_AT_A_TIME,
  sequence: { groupOrder: 3 },
  testTimeout: 60_000,
  hookTimeout: 60_000,
});
