import { ONCE_MORE_IN_CI, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('conformance', {
  ...ONCE_MORE_IN_CI,
  testTimeout: 120_000,
  hookTimeout: 120_000,
});
