/** Names of images: `[host[:port]/]path[:tag][@digest]`, as other tools write them. */
import { invalid } from './failure.ts';

/** The parts of a name. */
export interface ImageReference {
  /** Host and perhaps port of a registry; absent: only of this host. */
  readonly registry?: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;
const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;
const MAX_LENGTH = 512;
/** What an id looks like: as a name it could stand in the place of another image's id. */
const ID_REPOSITORY = /^(?:sha256|sha512|[0-9a-f]{64})$/;

/** Errors: `INVALID_SPEC`. */
export function parseReference(text: string): ImageReference {
  const wrong = (): Error =>
    invalid(
      `not the name of an image: ${JSON.stringify(text.slice(0, 200))} (expected [registry/]path[:tag][@digest], in lower case)`,
      { object: text.slice(0, 200) },
    );
  if (text.length > MAX_LENGTH) throw wrong();
  const [beforeDigest = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) throw wrong();
  const slash = beforeDigest.indexOf('/');
  const head = slash < 0 ? '' : beforeDigest.slice(0, slash);
  const hasRegistry = head === 'localhost' || /[.:[]/.test(head);
  const rest = hasRegistry ? beforeDigest.slice(slash + 1) : beforeDigest;
  const colon = rest.lastIndexOf(':');
  const repository = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (hasRegistry && !HOST.test(head)) throw wrong();
  if (!REPOSITORY.test(repository) || (tag !== undefined && !TAG.test(tag))) throw wrong();
  if (!hasRegistry && ID_REPOSITORY.test(repository))
    throw invalid(
      `this is the id of an image and cannot be its name: ${text.slice(0, 200)}; say another name`,
      {
        object: text.slice(0, 200),
      },
    );
  return {
    ...(hasRegistry ? { registry: head } : {}),
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/**
 * The name under which an image is kept: with its tag; of a reference by digest, with that digest and no tag,
 * since what the registry calls so may be another image. Errors: `INVALID_SPEC`.
 */
export function imageName(text: string): string {
  const { registry, repository, tag = 'latest', digest } = parseReference(text);
  const place = `${registry === undefined ? '' : `${registry}/`}${repository}`;
  return digest === undefined ? `${place}:${tag}` : `${place}@${digest}`;
}

/** The name that is meant; `undefined`: the text is none. */
export function asName(text: string): string | undefined {
  try {
    return imageName(text);
  } catch {
    return undefined;
  }
}

/**
 * Of `all` those that are called so: in these words, or else in others for the same name: without its tag, or
 * without the registry and the library that go without saying for docker's users.
 */
export function calledSo<T>(
  all: readonly T[],
  namesOf: (one: T) => readonly string[],
  wanted: string,
): readonly T[] {
  const exact = all.filter((one) => namesOf(one).includes(wanted));
  const meant = asName(withoutLibrary(wanted));
  if (exact.length > 0 || meant === undefined) return exact;
  return all.filter((one) => namesOf(one).some((name) => asName(withoutLibrary(name)) === meant));
}

function withoutLibrary(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/)?/, '');
}

/**
 * A name that somebody gives: nothing says that the image has the digest in it. Errors: `INVALID_SPEC`, also
 * when there is one.
 */
export function givenName(text: string): string {
  if (parseReference(text).digest === undefined) return imageName(text);
  throw invalid(`only a pull names an image by a digest: ${text.slice(0, 200)}; say a name without one`, {
    object: text.slice(0, 200),
  });
}
