import { FOUR_AT_A_TIME, ONCE_MORE_IN_CI, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('integration', {
  ...FOUR_AT_A_TIME,
  ...ONCE_MORE_IN_CI,
  sequence: { groupOrder: 1 },
  testTimeout: 60_000,
  hookTimeout: 60_000,
});
