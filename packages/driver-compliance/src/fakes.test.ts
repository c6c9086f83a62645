/** The fakes pass the kits; the real drivers do so in the repository's compliance suite. */
import { describe, it } from 'vitest';
import {
  cgroupCompliance,
  initCompliance,
  memoryCgroupSubject,
  memoryInitSubject,
  memoryNetworkSubject,
  memoryQuotaSubject,
  networkCompliance,
  quotaCompliance,
} from './index.ts';

const test = { describe, it };

quotaCompliance(test, 'memory', memoryQuotaSubject);
cgroupCompliance(test, 'memory', memoryCgroupSubject);
networkCompliance(test, 'memory', memoryNetworkSubject);
initCompliance(test, 'memory', memoryInitSubject);
