/** A device's run loop in the test's own thread, its messages at hand. */
import type { DeviceJob, FromWorker, GenerateEvent, GenerateSpec, ToWorker } from '../src/device/protocol.ts';
import { Heartbeat } from '../src/device/heartbeat.ts';
import { RunLoop, type Mailbox } from '../src/device/run-loop.ts';
import type { DeviceHost } from '../src/model/device-model.ts';
import { mropePositions } from '../src/vision/mrope-positions.ts';
import {
  FakeHost,
  fakeImage,
  fakeImageTokenId,
  fakeLoadSpec,
  type FakeModel,
  type FakeModelPlan,
} from './fake-device-host.ts';

/** A loop in this thread. Messages can be timed: `onTake` runs before the loop looks for them. */
export class Bench<H extends DeviceHost = FakeHost> implements Mailbox {
  readonly host: H;
  readonly posted: FromWorker[] = [];
  readonly ended: Promise<void>;
  onTake: () => void = () => {};
  #inbox: ToWorker[] = [];
  #wake: () => void = () => {};
  #nextJobId = 1;

  constructor(host: H, waitingMax = 100) {
    this.host = host;
    const heartbeat = new Heartbeat(Heartbeat.buffer());
    this.ended = new RunLoop({ host: this.host, mailbox: this, heartbeat, waitingMax }).run();
  }

  static async with(
    plan: Partial<FakeModelPlan> = {},
    waitingMax?: number,
    load?: Parameters<typeof fakeLoadSpec>[2],
  ): Promise<Bench> {
    const bench = new Bench(new FakeHost(), waitingMax);
    await bench.job({ kind: 'load', spec: fakeLoadSpec('m', plan, load) });
    return bench;
  }

  take(): readonly ToWorker[] {
    this.onTake();
    return this.#inbox.splice(0);
  }

  wait(): Promise<void> {
    return this.#inbox.length > 0
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#wake = resolve;
        });
  }

  post(message: FromWorker): void {
    this.posted.push(message);
  }

  send(message: ToWorker): void {
    this.#inbox.push(message);
    this.#wake();
  }

  generate(spec: GenerateSpec): number {
    const jobId = this.#nextJobId++;
    this.send({ kind: 'generate', jobId, spec });
    return jobId;
  }

  async job(job: DeviceJob): Promise<unknown> {
    const jobId = this.#nextJobId++;
    this.send({ kind: 'job', jobId, job });
    const ending = await this.#until(
      (message) => 'jobId' in message && message.jobId === jobId && message.kind !== 'load_progress',
    );
    if (ending.kind === 'failed') throw Object.assign(new Error(ending.error.message), ending.error);
    return ending.kind === 'answer' ? ending.value : null;
  }

  /** All events of a generation up to its end. */
  async eventsOf(jobId: number): Promise<GenerateEvent[]> {
    const ending = await this.#until((message) => {
      if (!('jobId' in message) || message.jobId !== jobId) return false;
      return message.kind === 'failed' || (message.kind === 'events' && message.events.at(-1)?.kind === 'done');
    });
    if (ending.kind === 'failed') throw Object.assign(new Error(ending.error.message), ending.error);
    return this.events(jobId);
  }

  events(jobId: number): GenerateEvent[] {
    return this.posted.flatMap((message) =>
      message.kind === 'events' && message.jobId === jobId ? message.events : [],
    );
  }

  model(this: Bench, id = 'm'): FakeModel {
    return this.host.models.get(id)!;
  }

  async #until(condition: (message: FromWorker) => boolean): Promise<FromWorker> {
    for (;;) {
      const found = this.posted.find(condition);
      if (found !== undefined) return found;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

export const idsOf = (events: readonly GenerateEvent[], choice = 0): number[] =>
  events.flatMap((event) => (event.kind === 'token' && event.choice === choice ? [event.token.id] : []));
export const causesOf = (events: readonly GenerateEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'finished' ? [event.cause] : []));

/** A prompt of one 1×2 image for each name, a text token between. */
export const withImages = (...names: string[]): Pick<GenerateSpec, 'vision'> & { ids: number[] } => {
  const ids = names.flatMap(() => [1, fakeImageTokenId, fakeImageTokenId]).concat(5);
  const positions = mropePositions(
    Int32Array.from(ids),
    fakeImageTokenId,
    names.map(() => ({ h: 1, w: 2 })),
  );
  return { ids, vision: { positions, images: names.map((name) => fakeImage(name)) } };
};
