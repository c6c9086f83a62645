/** `warden egress`: what a container may reach. */
import { CommandError } from '../command-error.ts';
import { egressText, parseEgress } from '../human/egress-text.ts';
import { writeList } from '../human/write-answer.ts';
import { missing } from './usage.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const egress: Word = {
  name: 'egress',
  summary: 'List what a container may reach, allow more, or take it back.',
  details: [
    'A rule is [PROTOCOL:]DESTINATION[:PORTS]. PROTOCOL is tcp (the default), udp, icmp or all. DESTINATION is an address, a network (192.0.2.0/24), a range (192.0.2.1-192.0.2.9), a name, *.NAME for all names below it, NAME@NETWORK, or any. PORTS is one or FIRST-LAST; of icmp it is TYPE or TYPE/CODE.',
    'The rules that there are afterwards are written, in the form in which they are taken. With --remove every rule about the same packets goes, and connections that nothing allows any more are ended; one that is not there is no failure. All of them are removed, or none.',
  ],
  operands: [
    { name: 'HANDLE', kind: 'handle' },
    { name: 'RULE', kind: 'plain', isOptional: true, isRest: true },
  ],
  flags: [
    { name: 'remove', text: 'Take these rules back.' },
    { name: 'log', text: "Have new TCP connections by these rules noted in the kernel's log." },
  ],
  examples: [
    ['warden egress box', 'what there is'],
    ['warden egress box registry.example.org:443 udp:192.0.2.53:53', 'two rules more'],
    ['warden egress box --remove registry.example.org:443', 'one less'],
  ],
  async run(given, context) {
    const [handle, ...texts] = given.operands as [string, ...string[]];
    const isRemoval = given.has('remove');
    if (isRemoval && given.has('log'))
      throw new CommandError('egress: --remove and --log exclude each other: a rule is removed either way');
    if (texts.length === 0 && (isRemoval || given.has('log'))) throw missing(egress, 'RULE');
    const rules = texts.map((text) => parseEgress(text, given.has('log')));
    const box = (await context.connect()).container(handle);
    if (!isRemoval) for (const rule of rules) await box.netOut(rule);
    const left = await (isRemoval ? box.removeNetRules({ egress: rules }) : box.netRules());
    await writeList(context, left.egress, () =>
      left.egress.map((rule) => `${egressText(rule)}${rule.log === true ? '  (logged)' : ''}`),
    );
    return 0;
  },
};
