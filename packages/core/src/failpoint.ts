/**
 * Named places where a test makes the daemon fail: `WARDEN_FAILPOINT=<name>=error` throws there, `<name>=kill` ends the process
 * as SIGKILL does. Several are separated by commas. Without the variable a failpoint costs one look at an empty map.
 */
import { WardenError } from '@warden/interface';

/** Called at every named place. */
export type Failpoint = (name: string) => void;

/** Reads the specification. Errors: `INVALID_SPEC` for an action that does not exist. */
export function failpoints(specification: string | undefined): Failpoint {
  const actions = new Map<string, string>();
  for (const item of (specification ?? '').split(',').filter((one) => one !== '')) {
    const [name = '', action = ''] = item.split('=');
    if (action !== 'error' && action !== 'kill') {
      throw new WardenError('INVALID_SPEC', `WARDEN_FAILPOINT: ${item} must be NAME=error or NAME=kill`);
    }
    actions.set(name, action);
  }
  return (name) => {
    const action = actions.get(name);
    if (action === 'kill') process.kill(process.pid, 'SIGKILL');
    else if (action === 'error')
      throw new WardenError('INTERNAL', `failpoint ${name}`, { fields: { operation: name } });
  };
}
