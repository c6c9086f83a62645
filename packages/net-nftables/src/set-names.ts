/** Names of the table's sets and maps. */
export const SET = {
  /** Host ends of all containers' links. */
  interfaces: 'interfaces',
  /** Host end and the address of the container behind it. */
  sources: 'sources',
  /** Host end → the container's own chain. */
  containers: 'containers',
  /** Transport protocols that containers may speak. */
  protocols: 'protocols',
  allowNetworks: 'allow_networks',
  denyNetworks: 'deny_networks',
  /** What rules and networks open only when they are about it: containers, the host's own links, the cloud's metadata. */
  reserved: 'reserved',
  /** Addresses of the host at which ports are published. */
  published: 'published',
  /** Host port → address and port of a container. */
  ports: 'ports',
  /** Host end → the chain that limits the container's bandwidth, where queues cannot. */
  limited: 'limited',
  /** Address of a container → its connections; the limit follows the name. */
  connections: 'connections',
} as const;
