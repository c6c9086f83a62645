import { testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('native-programs', { maxConcurrency: 3 });
