import { FILES_SHARE_PROCESSES, ONCE_MORE_IN_CI, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('integration', {
  ...ONCE_MORE_IN_CI,
  ...FILES_SHARE_PROCESSES,
  testTimeout: 60_000,
  hookTimeout: 60_000,
});
