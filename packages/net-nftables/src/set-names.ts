/** Names of the table's sets and maps. */
export const SET = {
  /** Host ends of all containers' links. */
  interfaces: 'interfaces',
  /** Host end and the address of the container behind it. */
  sources: 'sources',
  /** Host end → the container's own chain, of those that have rules. */
  containers: 'containers',
  /** Transport protocols that containers may speak. */
  protocols: 'protocols',
  allowNetworks: 'allow_networks',
  denyNetworks: 'deny_networks',
  /**
   * What rules and networks open only when they are about it: containers, the host's own links, the cloud's
   * metadata.
   */
  reserved: 'reserved',
  /** Addresses of the host at which ports are published. */
  published: 'published',
  /** Host port → address and port of a container. */
  ports: 'ports',
  /** Host end → the chain that limits the container's bandwidth, where queues cannot. */
  limited: 'limited',
  /** By a link, to an address, under a name of a rule. Elements go by themselves; no start of a daemon empties it. */
  learned: 'learned',
  /** Host end of a container with rules about names → where its questions for names go. */
  resolvers: 'resolvers',
  /** Host end of such a container → the chain that lets them in. */
  askers: 'askers',
  /** The port of the daemon that answers them: gone seconds after it has died, so that nobody else gets them. */
  answering: 'answering',
  /** Address of a container → its connections; the limit follows the name. */
  connections: 'connections',
  /** Address of a container → packets of it that were refused, where the kernel tells of none. */
  denied: 'denied',
  /** Address of a container → how much of it was told lately. Elements go by themselves. */
  told: 'told',
} as const;
