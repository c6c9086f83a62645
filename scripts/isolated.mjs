/**
 * Argument list for `unshare` that runs `argv` in fresh network and mount namespaces with only a loopback
 * interface.
 */
export function isolated(argv) {
  return [
    '--net',
    '--mount',
    '--propagation',
    'private',
    '--',
    'sh',
    '-c',
    'ip link set lo up && exec "$@"',
    'sh',
    ...argv,
  ];
}
