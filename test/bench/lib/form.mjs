/** From so many of each on the bench has its full form, with larger crowds and copies. */
export const FULL = 50;
