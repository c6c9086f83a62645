import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { writtenTo } from '../../test/written-to.ts';
import { type Notice, ProgressView, ReportReader, type Step } from './progress.ts';

const RECORDS = [
  'P: 0 100 DOWNREL',
  'PF: Downloading Release file',
  'I: RETRIEVING',
  'IA: InRelease',
  'IA: ',
  'IF: Retrieving %s %s',
  'P: 50 100',
  'I: VALIDRELSIG',
  'IA: 4D64',
  'IF: Valid Release signature (key id %s)',
  'P: 75 100',
  'P: 1 3 EXTRACTPKGS',
  'PF: Extracting packages',
  'I: EXTRACTING',
  'IA: adduser',
  'IF: Extracting %s...',
  'P: 4 3 CONFREQ',
  'PF: Configuring required packages',
  'P: 0 0 CONFBASE',
  'something else',
  'W: KEYRING',
  'WA: /k.gpg',
  'WF: Cannot check %s',
  'E: NOGETREL',
  'EA: http://m.example/InRelease',
  'EF: Failed getting release file %s',
];

function read(lines: readonly string[]): { steps: Step[]; notices: Notice[] } {
  const [steps, notices]: [Step[], Notice[]] = [[], []];
  const reader = new ReportReader(
    (step) => steps.push(step),
    (notice) => notices.push(notice),
  );
  for (const line of lines) reader.take(line);
  return { steps, notices };
}

function view(isTTY: boolean, isJson: boolean): { view: ProgressView; read: () => string } {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const terminal = { stdin, stdout: Object.assign(stdout, { isTTY, columns: 40 }), stderr, env: {} };
  return { view: new ProgressView(terminal, isJson), read: () => writtenTo(stdout) };
}

describe('progress of a build', () => {
  it('has four stages, each with its percentage where it is known [linux-container 23]', () => {
    expect(read(RECORDS).steps).toEqual([
      { stage: 'retrieving', percent: 0 },
      { stage: 'retrieving', percent: 0, text: 'Retrieving InRelease' },
      { stage: 'retrieving', percent: 50 },
      { stage: 'validating', text: 'Valid Release signature (key id 4D64)' },
      { stage: 'retrieving', percent: 75 },
      { stage: 'extracting', percent: 33 },
      { stage: 'extracting', percent: 33, text: 'Extracting adduser...' },
      { stage: 'configuring', percent: 100 },
      { stage: 'configuring' },
    ]);
  });

  it('tells warnings and errors from it', () => {
    expect(read(RECORDS).notices).toEqual([
      { level: 'warning', text: 'Cannot check /k.gpg', name: 'KEYRING' },
      { level: 'error', text: 'Failed getting release file http://m.example/InRelease', name: 'NOGETREL' },
    ]);
  });

  it('is one line on a terminal, cut to its width and cleared at the end', () => {
    const shown = view(true, false);
    shown.view.step({ stage: 'retrieving', percent: 7, text: `Retrieving ${'x'.repeat(80)}` });
    shown.view.step({ stage: 'retrieving', percent: 8 });
    shown.view.end();
    const lines = shown.read().split('\r\x1b[K');
    expect(lines).toEqual([
      '',
      `retrieving 7%  Retrieving ${'x'.repeat(13)}`,
      `retrieving 8%  Retrieving ${'x'.repeat(13)}`,
      '',
    ]);
  });

  it('is a plain line for each thing done elsewhere', () => {
    const shown = view(false, false);
    for (const step of read(RECORDS).steps) shown.view.step(step);
    shown.view.end();
    expect(shown.read()).toBe(
      'Retrieving InRelease\nValid Release signature (key id 4D64)\nExtracting adduser...\n',
    );
  });

  it('is JSON lines on request, none of them twice', () => {
    const shown = view(false, true);
    shown.view.step({ stage: 'extracting', percent: 5 });
    shown.view.step({ stage: 'extracting', percent: 5 });
    shown.view.step({ stage: 'extracting', percent: 6, text: 't' });
    expect(shown.read()).toBe(
      '{"stage":"extracting","percent":5}\n{"stage":"extracting","percent":6,"text":"t"}\n',
    );
  });
});
