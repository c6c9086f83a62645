import { WardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { UndoStack } from './undo-stack.ts';

describe('what a failed creation has begun', () => {
  it('is undone once, the last step first; each step is told whether all before it could be', async () => {
    const undone: [string, boolean][] = [];
    const stack = new UndoStack();
    stack.push((isIntact) => void undone.push(['first', isIntact]));
    stack.push((isIntact) => {
      undone.push(['second', isIntact]);
      throw new Error('it is in use');
    });
    stack.push(async (isIntact) => void undone.push(['third', isIntact]));
    expect(await stack.unwind()).toEqual([new Error('it is in use')]);
    expect(undone).toEqual([
      ['third', true],
      ['second', true],
      ['first', false],
    ]);
    expect(await stack.unwind()).toEqual([]);
    expect(undone).toHaveLength(3);
  });

  it('is told by the first failure, with those of the undoing beside it', async () => {
    const stack = new UndoStack();
    const first = new WardenError('INVALID_SPEC', 'no such root', { fields: { operation: 'create' } });
    expect(await stack.fail(first)).toBe(first);
    stack.push(() => {
      throw new Error('it is in use');
    });
    expect(await stack.fail(first)).toMatchObject({
      code: 'INVALID_SPEC',
      message: 'no such root',
      fields: { operation: 'create' },
      suppressed: [new Error('it is in use')],
    });
  });
});
