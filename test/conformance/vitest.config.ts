import { ONCE_MORE_IN_CI, TWO_AT_A_TIME, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('conformance', {
  ...TWO_AT_A_TIME,
  ...ONCE_MORE_IN_CI,
  sequence: { groupOrder: 4 },
  testTimeout: 120_000,
  hookTimeout: 120_000,
});
