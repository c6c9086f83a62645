/** What the launcher says on its sync channel: one packet of text each. See the end of `wshd_protocol.h`. */
import { WardenError } from '@warden/interface';
import { ERRNO_NAMES } from '@warden/native';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export type LaunchReport =
  | { readonly kind: 'cloned'; readonly pid: number }
  | {
      readonly kind: 'log';
      readonly level: (typeof LOG_LEVELS)[number];
      readonly stage: string;
      readonly text: string;
    }
  | { readonly kind: 'error'; readonly error: WardenError }
  | { readonly kind: 'ready' };

/** Errors: `NATIVE_FAILED` (EPROTO) for anything that is not in the header. */
export function parseLaunchReport(packet: string): LaunchReport {
  if (packet === 'ready') return { kind: 'ready' };
  const cloned = /^cloned ([1-9][0-9]*)$/.exec(packet);
  if (cloned) return { kind: 'cloned', pid: Number(cloned[1]) };
  const log = /^log (debug|info|warn|error) (\S+) (.*)$/s.exec(packet);
  if (log)
    return { kind: 'log', level: log[1] as (typeof LOG_LEVELS)[number], stage: log[2]!, text: log[3]! };
  // the object is all up to the next blank: its own are escaped, but not those that only Unicode knows
  const error = /^error (\S+) ([0-9]+) ([0-9]+) ([^ ]*) (.*)$/s.exec(packet);
  if (error) {
    return {
      kind: 'error',
      error: launchError(error[1]!, Number(error[2]), Number(error[3]), error[4]!, error[5]!),
    };
  }
  throw new WardenError('NATIVE_FAILED', `the launcher said what it should not: ${packet.slice(0, 200)}`, {
    fields: { operation: 'launch', errno: 'EPROTO' },
  });
}

/** A kernel call has an errno; a hook has an exit status. */
function launchError(
  stage: string,
  number: number,
  exitStatus: number,
  escaped: string,
  text: string,
): WardenError {
  const object = unescapeObject(escaped);
  const errno = number === 0 ? undefined : (ERRNO_NAMES[number] ?? String(number));
  const code = exitStatus === 0 ? 'NATIVE_FAILED' : 'COMMAND_FAILED';
  // a hook's last words stand behind the first line
  const [head = '', ...words] = text.split('\n');
  const output = exitStatus === 0 ? '' : words.join('\n');
  const message = exitStatus === 0 ? text : output === '' ? head : `${head}: ${output}`;
  const outcome = exitStatus === 0 ? (errno ?? 'failed') : `exit status ${exitStatus}`;
  return new WardenError(code, message === '' ? `${stage} ${object}: ${outcome}` : message, {
    fields: {
      operation: 'launch',
      stage,
      object,
      ...(errno === undefined ? {} : { errno }),
      ...(exitStatus === 0 ? {} : { exitStatus, output }),
    },
  });
}

function unescapeObject(escaped: string): string {
  return escaped.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
