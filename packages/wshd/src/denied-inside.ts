/** What to do when the kernel does not let a user of the container do something there. */

/** Whether `errno` says so. */
export function isDenied(errno: string): boolean {
  return errno === 'EACCES' || errno === 'EPERM';
}

/** For an error's fields: empty when `errno` says something else. `user` is the one inside who tried. */
export function adviceIfDenied(errno: string, user: string): { readonly advice?: string } {
  if (!isDenied(errno)) return {};
  const advice =
    user === 'root'
      ? 'not even root inside may do this there: it is read-only, immutable or a device, or belongs to the kernel'
      : `${user} may not do this inside: do it as root inside (warden cp --privileged; privileged: true in a program), or change the permissions of the path there`;
  return { advice };
}
