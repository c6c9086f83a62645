/** What was wrong with bytes or with a value that was to become bytes. */
export class ProtocolError extends Error {
  /** `frame`: the stream cannot be resynchronised. `message`: only this message is lost. */
  readonly kind: 'frame' | 'message';
  /** Path of the field, as `bind_mounts.src_path`. */
  readonly field: string | undefined;

  constructor(kind: 'frame' | 'message', message: string, field?: string) {
    super(message);
    this.name = 'ProtocolError';
    this.kind = kind;
    this.field = field;
  }
}
