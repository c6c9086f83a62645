/** Throws the first failure of several that were all waited for. */
export function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  const failed = results.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
