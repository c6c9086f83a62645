/**
 * An upload takes several requests of one connection: it begins, its bytes come, it ends. The engine sees one
 * call with a stream of bytes. Each request is answered when its bytes have been taken, so that nothing piles
 * up, and a connection that ends in the middle makes the call fail.
 */
import { WardenError } from '@warden/interface';

/** The engine's call: what is written, and when nobody wants it any more. */
type Write = (content: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<void>;

interface Part {
  readonly bytes: Uint8Array;
  taken(): void;
}

/** One connection's. */
export class Uploads {
  #current: Upload | undefined;
  #isAbandoned = false;

  /** Errors: `BAD_STATE` while another is going on, `ABORTED` when the connection is gone. */
  begin(write: Write): void {
    // what waited for its turn begins all the same, and nobody would ever end it
    if (this.#isAbandoned) throw givenUp();
    if (this.#current !== undefined) {
      throw new WardenError(
        'BAD_STATE',
        'an upload is going on in this connection; end it, or take another connection',
        {
          fields: { operation: 'upload' },
        },
      );
    }
    this.#current = new Upload(write);
  }

  /** Errors: those of the writing, `BAD_STATE` when none is going on. */
  async data(bytes: Uint8Array): Promise<void> {
    const upload = this.#require();
    try {
      await upload.give(bytes);
    } catch (error) {
      this.#current = undefined;
      throw error;
    }
  }

  /** Errors: as {@link data}. */
  async end(isCommitted: boolean): Promise<void> {
    const upload = this.#require();
    this.#current = undefined;
    if (isCommitted) await upload.finish();
    else await upload.abandon();
  }

  /** The connection is gone. */
  abandon(): void {
    this.#isAbandoned = true;
    void this.#current?.abandon();
    this.#current = undefined;
  }

  #require(): Upload {
    if (this.#current !== undefined) return this.#current;
    throw new WardenError('BAD_STATE', 'no upload is going on in this connection', {
      fields: { operation: 'upload' },
    });
  }
}

class Upload {
  readonly #result: Promise<void>;
  /** Also for a call that waits for the container, and would not ask for the next bytes. */
  readonly #abandoned = new AbortController();
  #part: Part | undefined;
  /** With the writer. */
  #given: Part | undefined;
  #wake: (() => void) | undefined;
  #end: 'open' | 'finished' | 'abandoned' = 'open';
  #isSettled = false;

  constructor(write: Write) {
    this.#result = write(this.#content(), this.#abandoned.signal).finally(() => {
      this.#isSettled = true;
      this.#part?.taken();
      this.#given?.taken();
    });
    this.#result.catch(() => {}); // whoever gives or ends meets it
  }

  async give(bytes: Uint8Array): Promise<void> {
    if (!this.#isSettled) {
      await new Promise<void>((resolve) => {
        this.#part = { bytes, taken: resolve };
        this.#wake?.();
      });
    }
    if (this.#isSettled) await this.#result;
  }

  async finish(): Promise<void> {
    this.#end = 'finished';
    this.#wake?.();
    await this.#result;
  }

  async abandon(): Promise<void> {
    this.#end = 'abandoned';
    this.#abandoned.abort(new Error('the client gave the upload up'));
    this.#wake?.();
    await this.#result.catch(() => {});
  }

  async *#content(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const part = this.#part;
      if (part !== undefined) {
        this.#part = undefined;
        this.#given = part;
        yield part.bytes;
        // only now: one that fails at these bytes tells it by their answer
        part.taken();
      } else if (this.#end === 'finished') {
        return;
      } else if (this.#end === 'abandoned') {
        throw givenUp();
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

function givenUp(): WardenError {
  return new WardenError('ABORTED', 'the client gave the upload up', { fields: { operation: 'upload' } });
}
