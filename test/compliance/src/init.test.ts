import { initCompliance } from '@warden/driver-compliance';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';
import { CONFINED } from './subjects/confined.ts';
import { initSubject } from './subjects/init.ts';

describeWith(['root', 'isolated', 'overlayfs'], 'init', () => {
  initCompliance({ describe, it }, 'wshd', () => initSubject());
  initCompliance({ describe, it }, 'wshd with all of its confinement', () => initSubject({}, CONFINED));
  initCompliance({ describe, it }, 'wshd with a time limit for hooks', () => initSubject({ hookTimeout: 1 }));
});
