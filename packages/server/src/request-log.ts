/**
 * What the log says of requests: at debug without what clients keep secret, at trace whole (spec config.md 2,
 * logging).
 */
import type { Logger } from '@warden/interface';
import { REQUESTS } from '@warden/protocol';

/** Before it is executed. */
export function logRequest(logger: Logger, type: number, payload: object): void {
  const request = REQUESTS[type]?.name;
  if (logger.trace) logger.trace('request', { request, payload: readable(payload) });
  else logger.debug?.('request', { request, payload: withoutSecrets(payload) });
}

/** Before it is sent. */
export function logAnswer(logger: Logger, type: number, response: object): void {
  const request = REQUESTS[type]?.name;
  if (logger.trace) logger.trace('answer', { request, payload: readable(response) });
  else logger.debug?.('answer', { request, payload: withoutOutput(response) });
}

/** Scripts, arguments, variables and files hold credentials, and a pull has some. */
const SECRETS = {
  script: undefined,
  argv: undefined,
  environment: undefined,
  data: undefined,
  password: undefined,
};

function withoutSecrets(payload: object): object {
  return { ...payload, ...SECRETS };
}

/** So may what they print. */
function withoutOutput(response: object): object {
  if (!('stdout' in response || 'stderr' in response)) return response;
  return { ...response, stdout: undefined, stderr: undefined };
}

/** Bytes as text: a line of the log is for people. */
function readable(payload: object): object {
  return Object.fromEntries(
    Object.entries(payload).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    ]),
  );
}
