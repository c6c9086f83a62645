import { testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('harness', { testTimeout: 30_000 });
