/** Which image of an index is meant. */
import { describe, expect, it } from 'vitest';
import { ARCHITECTURE, choose, type Descriptor, parseIndex } from './manifest.ts';

const HERE = { os: 'linux', architecture: ARCHITECTURE };

/** An index of one image for each platform; each of its manifests is as long as its place in the list. */
function indexOf(...platforms: readonly object[]): readonly Descriptor[] {
  return parseIndex({
    manifests: platforms.map((platform, at) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${String(at).padStart(64, '0')}`,
      size: at,
      platform,
    })),
  });
}

describe('an index of several images', () => {
  it.each([
    ['the one without a variant', 2, [{ ...HERE, variant: 'v3' }, { ...HERE, variant: 'v2' }, HERE]],
    [
      'the oldest variant',
      1,
      [
        { ...HERE, variant: 'v3' },
        { ...HERE, variant: 'v2' },
      ],
    ],
    ['the only one', 0, [{ ...HERE, variant: 'v3' }]],
    [
      'none that is not an image',
      1,
      [
        { os: 'unknown', architecture: 'unknown' },
        { ...HERE, variant: 'v2' },
      ],
    ],
  ])('gives of those for this processor %s, which runs on each', (_, at, platforms) => {
    expect(choose(indexOf(...platforms), undefined).size).toBe(at);
  });

  it('is refused when none is for this processor, and tells which there are', () => {
    expect(() => choose(indexOf({ os: 'linux', architecture: 's390x' }), undefined)).toThrow(
      `the image is not for linux/${ARCHITECTURE}: there is without a name (linux/s390x)`,
    );
  });
});
