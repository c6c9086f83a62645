/**
 * Who is not answered. The page has no secret that a browser would send along, so any other site could have
 * its visitor's browser ask for it: by a name that its owner lets point to this host (then the header Host is
 * that name), or across origins (then the browser says so).
 */

/** What is known about who asks. */
export interface Asking {
  readonly host: string | undefined;
  readonly fetchSite: string | undefined;
  /** The page itself may be reached by a link from elsewhere; what is in it may not. */
  readonly isDocument: boolean;
}

/** Names of this host that nobody else can give away; with any port, because a tunnel has its own. */
const OWN = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;

/** Why not, in words; `undefined`: nothing is to be said against it. */
export function refusal({ host, fetchSite, isDocument }: Asking): string | undefined {
  if (host === undefined || !OWN.test(host))
    return 'this page is shown under the names localhost and 127.0.0.1 alone; a proxy in front of it has to ask for one of these';
  if (!isDocument && fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none')
    return 'what belongs to this page is given to this page alone';
  return undefined;
}
