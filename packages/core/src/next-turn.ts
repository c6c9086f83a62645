/** Lets the event loop look after others: what is behind it begins a turn of its own. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
