/** The commands: one per request message of the protocol, named after it, and those of this program alone. */
import { type MessageDescriptor, MessageType, REQUESTS } from '@warden/protocol';

/** A command and the messages it stands for. */
export interface Command {
  /** Underscored message name, as `net_in`. */
  readonly name: string;
  /** Number of the message type. */
  readonly type: number;
  readonly request: MessageDescriptor;
  readonly response: MessageDescriptor;
  readonly description: string;
}

/** Fields of requests with higher numbers are no flags, nor are composed ones of the extensions. */
const LAST_FLAG = 1001;

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  copy_in: 'Copy files and directories into a container.',
  copy_out: 'Copy files and directories out of a container.',
  create: 'Create a container, optionally with bind mounts, a grace time and a handle.',
  destroy: 'Stop a container and remove everything it owned.',
  doctor: 'Show what this host has, which drivers work, and what to do for better ones; needs no daemon.',
  echo: 'Let the daemon answer the same message.',
  help: 'Show help.',
  image_collect: 'Remove images without a name, layers that no image has, and unfinished downloads.',
  image_import: 'Import an image from an OCI layout or a docker-archive on the host.',
  image_list: 'List the images of the host.',
  image_pull: 'Fetch an image from a registry that the daemon allows.',
  image_remove: 'Take a name from an image; with its last name the image is removed.',
  info: 'Show state, addresses, events, usage and running jobs of a container.',
  job_signal:
    'Send a signal, else SIGKILL, to the whole process tree of a job (--extended --no-tree: to its process).',
  limit_bandwidth: 'Shape the network traffic of a container in both directions.',
  limit_cpu: 'Set or show the CPU shares of a container.',
  limit_disk: 'Set or show the disk limits of a container.',
  limit_memory: 'Set or show the memory limit of a container.',
  link: 'Wait for the end of a job and show its result.',
  list: 'List the handles of all containers.',
  net_in: 'Forward a port of the host to a container.',
  net_out: 'Allow a container to reach a network, port or port range, or a domain by its name.',
  ping: 'Ask the daemon for a sign of life.',
  rootfs: 'Build a root file system for containers on this host; needs root.',
  run: 'Run a script in a container, show its output, exit with its status.',
  shell: 'Open an interactive shell in a container of this host; needs root.',
  snapshot: 'Keep what a container has changed as an image.',
  spawn: 'Start a script in a container and show its job id.',
  stop: 'Stop all jobs of a container.',
  stream: 'Show the output of a job as it comes, until it ends.',
};

/** `shell` is no request: the daemon is only asked where the container is. */
const SHELL: Command = {
  name: 'shell',
  type: MessageType.Info,
  request: {
    name: 'ShellRequest',
    fields: [
      { name: 'handle', number: 1, label: 'required', type: 'string' },
      { name: 'privileged', number: 2, label: 'optional', type: 'bool' },
    ],
  },
  response: { name: 'ShellResponse', fields: [] },
  description: DESCRIPTIONS.shell!,
};

/** Every command by name, in alphabetical order, as help and completion show them. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries(REQUESTS)
    // what came later has commands of its own
    .filter(([type]) => Number(type) <= MessageType.JobSignal)
    .map(([type, entry]): Command => {
      const name = underscore(entry.name);
      return {
        name,
        type: Number(type),
        request: {
          ...entry.request,
          fields: entry.request.fields.filter(
            ({ number, type }) => number <= LAST_FLAG && (type !== 'message' || number < 1000),
          ),
        },
        response: entry.response,
        description: DESCRIPTIONS[name] ?? '',
      };
    })
    .concat(SHELL)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((command) => [command.name, command]),
);

/** Names and descriptions for the help, `help` last. `rootfs` has words of its own instead of flags. */
export function listedCommands(): readonly (readonly [string, string])[] {
  const names = [...COMMANDS.keys(), 'doctor', 'rootfs'].sort();
  return [...names, 'help'].map((name) => [name, DESCRIPTIONS[name] ?? '']);
}

/** `NetIn` → `net_in`. */
function underscore(name: string): string {
  return name.replaceAll(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase();
}
