/**
 * The GPUs as the driver sees them. Readings are taken at most every two seconds and never two at once, and callers
 * get the latest instead of waiting: a hung driver must not hang `/health`.
 */
import {
  failureReason,
  isUnknownField,
  olderQueryArguments,
  parseCudaVersion,
  parseGpus,
  queryArguments,
  type GpuReading,
} from './nvidia-smi.ts';
import { runProgram, type ProgramResult, type RunProgram } from './run-program.ts';

export type GpuState =
  | { readonly kind: 'ok'; readonly gpus: readonly GpuReading[]; readonly cudaVersion: string | null }
  /** There is no GPU that could be used, and why; `isMissing`: there is not even a driver's program to ask. */
  | { readonly kind: 'unavailable'; readonly reason: string; readonly isMissing?: true };

const program = 'nvidia-smi';
const timeoutMs = 5000;
const freshMs = 2000;
/** Utilisation from before the driver hung says nothing any more. */
const staleMs = 30_000;
/** Stuck in a hung driver it cannot be killed: asked again ever more seldom, or its remains would pile up. */
const hungWaitMs = { first: 30_000, max: 600_000 };

const whyNot = (result: ProgramResult): string | null => {
  if (result.kind === 'missing') return 'nvidia-smi is not installed';
  if (result.kind === 'timeout') return `nvidia-smi did not answer within ${timeoutMs / 1000} s`;
  // It writes its complaints to either stream.
  return result.code === 0 ? null : failureReason(`${result.stderr}\n${result.stdout}`);
};

export interface GpuMonitorOptions {
  readonly run?: RunProgram;
  /** Milliseconds from any fixed point. */
  readonly now?: () => number;
}

export class GpuMonitor {
  readonly #run: RunProgram;
  readonly #now: () => number;
  #state: GpuState = { kind: 'unavailable', reason: 'nvidia-smi has not answered yet' };
  #cudaVersion: string | null = null;
  #arguments = queryArguments;
  #waitMs = freshMs;
  #takenMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<GpuState> | null = null;

  constructor(options: GpuMonitorOptions = {}) {
    this.#run = options.run ?? runProgram;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The latest state; an old one starts a new reading in the background. */
  latest(): GpuState {
    const ageMs = this.#now() - this.#takenMs;
    if (ageMs > this.#waitMs && !this.#isAbsent()) void this.refresh();
    if (ageMs > staleMs && this.#state.kind === 'ok')
      return { kind: 'unavailable', reason: 'nvidia-smi no longer answers' };
    return this.#state;
  }

  /** Waits for a reading: the one that is under way, or a new one. Never throws. */
  refresh(): Promise<GpuState> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** A host without the driver does not get one while we run. */
  #isAbsent(): boolean {
    return this.#state.kind === 'unavailable' && this.#state.isMissing === true;
  }

  async #read(): Promise<GpuState> {
    const query = await this.#query();
    this.#state = await this.#stateOf(query);
    this.#takenMs = this.#now();
    this.#waitMs =
      query.kind === 'timeout' ? Math.min(Math.max(this.#waitMs * 2, hungWaitMs.first), hungWaitMs.max) : freshMs;
    return this.#state;
  }

  async #query(): Promise<ProgramResult> {
    const query = await this.#run(program, this.#arguments, timeoutMs);
    const isOld = query.kind === 'exited' && query.code !== 0 && isUnknownField(query.stdout + query.stderr);
    if (!isOld || this.#arguments === olderQueryArguments) return query;
    this.#arguments = olderQueryArguments;
    return this.#run(program, this.#arguments, timeoutMs);
  }

  async #stateOf(query: ProgramResult): Promise<GpuState> {
    const reason = whyNot(query);
    if (reason !== null) return { kind: 'unavailable', reason, ...(query.kind === 'missing' && { isMissing: true }) };
    const gpus = query.kind === 'exited' ? parseGpus(query.stdout) : [];
    if (gpus.length === 0) return { kind: 'unavailable', reason: 'the driver found no GPU' };
    if (this.#cudaVersion === null) {
      const banner = await this.#run(program, [], timeoutMs);
      this.#cudaVersion = banner.kind === 'exited' ? parseCudaVersion(banner.stdout) : null;
    }
    return { kind: 'ok', gpus, cudaVersion: this.#cudaVersion };
  }
}
