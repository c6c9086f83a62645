import { ONCE_MORE_IN_CI, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('faults', {
  ...ONCE_MORE_IN_CI,
  testTimeout: 60_000,
  hookTimeout: 60_000,
});
