import { configDefaults } from 'vitest/config';
import { ONCE_MORE_IN_CI, testSuite } from '../../scripts/test-suite.config.ts';

export default testSuite('compliance', {
  ...ONCE_MORE_IN_CI,
  // the proof that the kits bite has a command of its own: npm run prove-kit
  exclude: [...configDefaults.exclude, ...(process.env.WARDEN_TEST_BITE ? [] : ['src/bite.test.ts'])],
  testTimeout: 60_000,
  hookTimeout: 60_000,
});
