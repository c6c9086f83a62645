/**
 * Where a test can make this driver fail, each named after the step it stands behind; those of the program
 * itself begin with `wshd.` (docs/failpoints.md).
 */
export const INIT_FAILPOINTS = [
  'init.directory',
  'init.start',
  'init.cloned',
  'init.pid-file',
  'init.go',
  'init.ready',
  'init.connected',
  'copy.inside',
  'copy.outside',
] as const;

/** What the names of init's own failpoints begin with. */
export const WSHD_PREFIX = 'wshd.';
