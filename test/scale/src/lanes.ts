/** Doing the same for many, several at a time. */

/**
 * Runs `action` for each, `width` at a time; answers in the order of the items. The first failure ends it,
 * when all that runs has come to its end.
 */
export async function lanes<Item, Result>(
  items: readonly Item[],
  width: number,
  action: (item: Item, at: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const at = next++;
      try {
        results[at] = await action(items[at]!, at);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  if (failures.length > 0) throw failures[0];
  return results;
}
