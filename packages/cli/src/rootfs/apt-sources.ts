/** Archives that this host's apt is configured for. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** One archive of binary packages. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Path of a keyring, if the source names one. */
  readonly keyring?: string;
}

/** Archives that debootstrap can read. */
const USABLE = /^(https?|file|ftp):/;

/**
 * The enabled binary sources below `directory` (`/etc/apt`), in the order apt reads them. Both formats of apt
 * are understood; files that are absent or unreadable hold none.
 */
export function readAptSources(directory: string): AptSource[] {
  const parts = path.join(directory, 'sources.list.d');
  const names = namesIn(parts).sort();
  return [path.join(directory, 'sources.list'), ...names.map((name) => path.join(parts, name))]
    .flatMap((file) => {
      if (file.endsWith('.list')) return oneLineSources(textOf(file));
      return file.endsWith('.sources') ? deb822Sources(textOf(file)) : [];
    })
    .filter((source) => USABLE.test(source.uri) && source.components.length > 0);
}

/** The source to build `suite` from: one of that suite, else the one the host itself came from. */
export function chooseSource(
  sources: readonly AptSource[],
  suite: string,
  hostSuite: string,
): AptSource | undefined {
  const main = sources.filter((source) => source.components.includes('main'));
  return main.find((source) => source.suite === suite) ?? main.find((source) => source.suite === hostSuite);
}

/** The host's own sources that belong to `suite`: the release, its updates and its security fixes. */
export function sourcesOfSuite(sources: readonly AptSource[], suite: string): AptSource[] {
  const wanted = [suite, `${suite}-updates`, `${suite}-security`, `${suite}/updates`];
  return sources.filter((source) => wanted.includes(source.suite) && source.components.includes('main'));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** `deb [option=value …] uri suite component…`. */
function oneLineSources(text: string): AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) return [];
    const keyring = /(?:^|\s)signed-by=(\/[^\s,]+)/i.exec(match[1] ?? '')?.[1];
    return [source(match[2]!, match[3]!, words(match[4]!), keyring)];
  });
}

/** Stanzas of `Field: value`, continued on indented lines. */
function deb822Sources(text: string): AptSource[] {
  const uncommented = text.replaceAll(/^#.*\n?/gm, '');
  return uncommented.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)/gm))
      fields.set(match[1]!.toLowerCase(), match[2]!.trim());
    const list = (name: string): string[] => words(fields.get(name) ?? '');
    if (!list('types').includes('deb') || /^(no|false|0)$/i.test(fields.get('enabled') ?? '')) return [];
    // A key written into the stanza itself is no file that debootstrap could be given.
    const keyring = list('signed-by').find((word) => word.startsWith('/'));
    return list('uris').flatMap((uri) =>
      list('suites').map((suite) => source(uri, suite, list('components'), keyring)),
    );
  });
}

function source(
  uri: string,
  suite: string,
  components: readonly string[],
  keyring: string | undefined,
): AptSource {
  return { uri, suite, components, ...(keyring !== undefined && { keyring }) };
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
