/** What this host's kernel can do: tried once, and what is missing told the log once. */
import type { Logger, ProbeResult } from '@warden/interface';
import type { BandwidthMode } from './bandwidth.ts';
import type { TableMessages } from './nftables-message.ts';
import type { BandwidthFinding, NameFinding, WantedDenials } from './probe.ts';
import { probeKernel, probeNames } from './probe.ts';
import type { DenialTelling } from './ruleset.ts';

/** How long the namespace of a probe is kept, so that its end does not hold up what comes behind the probe. */
const TRIAL_MS = 1_000;

/** What {@link KernelFindings} are made from. */
export interface KernelFindingsParts {
  readonly table: TableMessages;
  readonly log: Logger;
  /** No better way of telling what was refused is to be used; default: the best one that works. */
  readonly denials: WantedDenials | undefined;
  /** To which packets that were refused are told. */
  readonly denialGroup: number;
}

/** See the file's head. */
export class KernelFindings {
  readonly #parts: KernelFindingsParts;
  #names: NameFinding | undefined;
  /** The namespace of the last probe, which ends when the start is over. */
  #trial: { readonly timer: NodeJS.Timeout; close(): void } | undefined;

  constructor(parts: KernelFindingsParts) {
    this.#parts = parts;
  }

  /** Tries everything in a namespace of its own; `bandwidth` is found of a kernel that works. Never throws. */
  probe(wanted: BandwidthMode | undefined): {
    readonly result: ProbeResult;
    readonly bandwidth?: BandwidthFinding;
  } {
    this.close();
    const { table, denials } = this.#parts;
    const { result, more, close } = probeKernel(table, { bandwidth: wanted, denials });
    this.#trial = { close, timer: setTimeout(() => this.close(), TRIAL_MS).unref() };
    if (more === undefined) {
      this.close();
      return { result };
    }
    this.#names ??= this.#told(more.names);
    return { result, bandwidth: more.bandwidth };
  }

  /** Whether rules about names work here, and how what is refused can be told. */
  get names(): NameFinding {
    const { table, denials } = this.#parts;
    this.#names ??= this.#told(probeNames(table, denials));
    return this.#names;
  }

  /** As the rule set takes it. */
  get telling(): DenialTelling {
    const { packets } = this.names.denials;
    if (packets === 'each') return { group: this.#parts.denialGroup };
    return packets === 'totals' ? packets : undefined;
  }

  /** Ends the namespace of the probe now. Idempotent. */
  close(): void {
    clearTimeout(this.#trial?.timer);
    this.#trial?.close();
    this.#trial = undefined;
  }

  #told(finding: NameFinding): NameFinding {
    const { reasons, denials } = finding;
    const { log } = this.#parts;
    if (reasons.length > 0)
      log.warn('egress-by-name-missing', { reasons, advice: 'the kernel needs nft_limit' });
    if (denials.packets !== 'each')
      log.warn('denials-not-told-one-by-one', {
        told: denials.packets,
        reason: denials.reason,
        advice: 'the kernel needs nft_limit, nft_log and nfnetlink_log',
      });
    return finding;
  }
}
