import { noCgroups } from '@warden/cgroup';
import { cgroupCompliance } from '@warden/driver-compliance';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';
import { cgroupSubject } from './subjects/cgroup.ts';

describeWith(['root', 'isolated', 'cgroup-memory', 'python3'], 'cgroups of this host', () => {
  cgroupCompliance({ describe, it }, 'auto', () => cgroupSubject());
});

cgroupCompliance({ describe, it }, 'none', () => cgroupSubject(noCgroups()));
