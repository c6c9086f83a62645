import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { name: 'bench', include: ['report/**/*.test.mjs', 'lib/**/*.test.mjs'] },
});
