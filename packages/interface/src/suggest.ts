/** What was probably meant by a word that is none. */

/** Steps (a letter more, less, other, or two swapped) that a slip of a finger takes at most. */
const FARTHEST = 2;

/**
 * The nearest of `candidates`, of several the one that begins as the word does: a first letter is seldom
 * missed. Nothing when none is near, or the word is too short to tell.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const letters = word.replace(/^-+/, '');
  if (letters.length < 2) return undefined;
  const limit = Math.min(FARTHEST, Math.floor(letters.length / 2));
  const first = word.length - letters.length;
  let found: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    // the beginning of a long word is no slip: it was meant to be short
    const isBeginning = letters.length >= 3 && candidate.startsWith(word);
    const steps = isBeginning ? 1 : distanceOf(word, candidate, limit);
    if (steps > limit) continue;
    const distance = steps + (candidate[first] === word[first] ? 0 : 0.5);
    if (distance < (found?.distance ?? Number.POSITIVE_INFINITY)) found = { candidate, distance };
  }
  return found?.candidate;
}

/** For the end of an error text. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  return suggestionOf(nearest(word, candidates));
}

/** The same of what is known to be meant; nothing of nothing. */
export function suggestionOf(meant: string | undefined): string {
  return meant === undefined ? '' : `; did you mean '${meant}'?`;
}

/** Damerau and Levenshtein's distance (optimal string alignment), or anything greater than `limit`. */
function distanceOf(a: string, b: string, limit: number): number {
  // what was typed may be long
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let [beforeLast, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, beforeLast[j - 2]! + 1);
      row.push(least);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}
