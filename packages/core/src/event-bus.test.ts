import { isWardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { EventBus } from './event-bus.ts';

const created = (handle: string) => ({ type: 'created', handle }) as const;

describe('subscribers to events', () => {
  it('get what they admit, in order, and nothing from before', async () => {
    const bus = new EventBus();
    bus.publish(created('early'), {});
    const all = bus.subscribe({});
    const some = bus.subscribe({ handle: 'b', types: ['created'], properties: { role: 'db' } });
    bus.publish(created('a'), { role: 'db' });
    bus.publish(created('b'), { role: 'web' });
    bus.publish({ type: 'destroyed', handle: 'b' }, { role: 'db' });
    bus.publish(created('b'), { role: 'db', more: 'x' });
    expect((await some.next()).value).toMatchObject({ type: 'created', handle: 'b', lost: 0 });
    const handles = [];
    for (let at = 0; at < 4; at += 1) handles.push((await all.next()).value?.handle);
    expect(handles).toEqual(['a', 'b', 'b', 'b']);
  });

  it('that do not read lose the oldest and are told how many, once', async () => {
    const bus = new EventBus();
    const slow = bus.subscribe({});
    for (let at = 0; at < 1_030; at += 1) bus.publish(created(String(at)), {});
    expect((await slow.next()).value).toMatchObject({ handle: '6', lost: 6 });
    expect((await slow.next()).value).toMatchObject({ handle: '7', lost: 0 });
    for (let at = 0; at < 10; at += 1) bus.publish(created('more'), {});
    expect((await slow.next()).value).toMatchObject({ handle: '16', lost: 8 });
  });

  it('are bounded in number, and give their place back', () => {
    const bus = new EventBus();
    const many = Array.from({ length: 256 }, () => bus.subscribe({}));
    const attempt = (): unknown => {
      try {
        return bus.subscribe({});
      } catch (error) {
        return error;
      }
    };
    expect(isWardenError(attempt(), 'POOL_EXHAUSTED')).toBe(true);
    many[0]!.end();
    many[0]!.end();
    expect(bus.subscribers).toBe(255);
    expect(isWardenError(attempt())).toBe(false);
  });

  it('may ask for several events at once', async () => {
    const bus = new EventBus();
    const subscription = bus.subscribe({});
    const steps = [1, 2, 3].map(() => subscription.next());
    bus.publish(created('a'), {});
    bus.publish(created('b'), {});
    expect((await Promise.all(steps.slice(0, 2))).map(({ value }) => value?.handle)).toEqual(['a', 'b']);
    subscription.end();
    expect(await steps[2]).toEqual({ done: true, value: undefined });
  });

  it('that give up keep no place, whether they read or not', () => {
    const bus = new EventBus();
    const giveUp = new AbortController();
    const filter = { signal: giveUp.signal };
    bus.subscribe(filter);
    giveUp.abort();
    expect(bus.subscribers).toBe(0);
    expect(() => bus.subscribe(filter)).toThrow(expect.objectContaining({ code: 'ABORTED' }));
    expect(bus.subscribers).toBe(0);
  });

  it('that wait are woken by the end, and by their signal', async () => {
    const bus = new EventBus();
    const ending = bus.subscribe({});
    const waiting = ending.next();
    ending.end();
    expect(await waiting).toEqual({ done: true, value: undefined });
    const giveUp = new AbortController();
    const aborted = bus.subscribe({ signal: giveUp.signal }).next();
    giveUp.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(bus.subscribers).toBe(0);
  });

  it('of kinds that are none are refused', () => {
    expect(() => new EventBus().subscribe({ types: ['nonsense' as 'exit'] })).toThrow(
      'no events of type nonsense',
    );
  });

  it('or none at all: everything is counted', () => {
    const bus = new EventBus();
    bus.publish(created('a'), {});
    bus.publish({ type: 'oom', handle: 'a' }, {});
    bus.publish({ type: 'exit', handle: 'a', jobId: 1, exitStatus: 0, verdict: { reason: 'exited' } }, {});
    bus.publish({ type: 'destroyed', handle: 'a' }, {});
    expect(bus.totals).toEqual({ created: 1, destroyed: 1, exits: 1, outOfMemory: 1 });
  });
});
