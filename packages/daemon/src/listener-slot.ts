/** A listener whose address can change: the new one listens before the old one is given up. */

/** Ends a listener. */
export type EndListener = () => Promise<void>;

/** See the file's head. `open` answers nothing for an address that means none. */
export class ListenerSlot<A> {
  readonly #open: (address: A) => Promise<EndListener | undefined>;
  #address: A | undefined;
  #end: EndListener | undefined;

  constructor(open: (address: A) => Promise<EndListener | undefined>) {
    this.#open = open;
  }

  /**
   * Listens at the address, if it is another one, and answers what then either ends the old listener
   * (`commit`) or the new one (`revert`). Errors: those of listening; the old one is as it was.
   */
  async move(address: A): Promise<{ commit: EndListener; revert: EndListener }> {
    const nothing = async (): Promise<void> => {};
    if (address === this.#address) return { commit: nothing, revert: nothing };
    const end = await this.#open(address);
    return {
      commit: async () => {
        const before = this.#end;
        this.#address = address;
        this.#end = end;
        await before?.();
      },
      revert: async () => {
        await end?.();
      },
    };
  }

  /** Ends the listener. Idempotent. */
  async close(): Promise<void> {
    const end = this.#end;
    this.#end = undefined;
    this.#address = undefined;
    await end?.();
  }
}
