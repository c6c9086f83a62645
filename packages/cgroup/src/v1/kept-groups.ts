/** Memory groups of destroyed containers that a driver keeps, from when it opens them to when it closes them. */
export class KeptGroups {
  /** The one that has been kept longest comes first. */
  protected readonly groups: string[] = [];
  protected isOpen = false;

  /** From now on there may be some. */
  open(): void {
    this.isOpen = true;
  }

  /** Whether the group is one of these. */
  has(group: string): boolean {
    return this.groups.includes(group);
  }

  /** From now on there are none any more; answers those that were there. */
  close(): readonly string[] {
    this.isOpen = false;
    return this.groups.splice(0);
  }
}
