/** One image's way through a vision tower, in pieces, so that other steps can go between them. */
import { Context, type Backend } from '@cortex/ggml';
import type { DeviceEmbeds } from './device-embeds.ts';
import type { ImageEncoding } from './device-model.ts';
import type { TowerGraph } from './tower-graph.ts';

/** Nodes of the first piece: less than a block has. */
const firstNodes = 16;
/** A piece that took less than this share of the time there is has been too small to be worth its start. */
const shortShare = 1 / 8;

export class TowerRun implements ImageEncoding {
  readonly #backend: Backend;
  readonly #handOver: (rows: DeviceEmbeds) => DeviceEmbeds;
  #embeds: DeviceEmbeds | null;
  #tower: TowerGraph | null = null;
  #nDone = 0;
  #nNodes = firstNodes;

  /** @param embeds where the tower's rows go; its own from now on. */
  constructor(backend: Backend, embeds: DeviceEmbeds, handOver: (rows: DeviceEmbeds) => DeviceEmbeds) {
    this.#backend = backend;
    this.#embeds = embeds;
    this.#handOver = handOver;
  }

  /** Takes the graph, which is to be given memory and inputs before the first piece. */
  start(tower: TowerGraph): TowerGraph {
    this.#tower = tower;
    return tower;
  }

  advance(ms: number): DeviceEmbeds | null {
    const startMs = performance.now();
    while (this.#tower !== null) {
      const pieceMs = this.#computePiece(this.#tower);
      // As long again as the latest piece would be too long.
      if (performance.now() - startMs + pieceMs > ms) break;
      if (pieceMs < ms * shortShare) this.#nNodes *= 2;
    }
    return this.#tower === null ? this.#take() : null;
  }

  finish(): DeviceEmbeds {
    this.settle();
    return this.#take();
  }

  /** Computes what is left, for whoever asks next. */
  settle(): void {
    while (this.#tower !== null) {
      this.#nNodes = Infinity;
      this.#computePiece(this.#tower);
    }
  }

  #computePiece(tower: TowerGraph): number {
    const startMs = performance.now();
    const { graph } = tower;
    const to = Math.min(graph.nNodes, this.#nDone + this.#nNodes);
    using context = new Context(this.#backend.device.native, { nTensorsMax: 1, nNodesMax: to - this.#nDone });
    this.#backend.compute(this.#nDone === 0 && to === graph.nNodes ? graph : graph.slice(context, this.#nDone, to));
    this.#nDone = to;
    if (to === graph.nNodes) this.#dropTower();
    return performance.now() - startMs;
  }

  #dropTower(): void {
    this.#tower?.[Symbol.dispose]();
    this.#tower = null;
  }

  #take(): DeviceEmbeds {
    const rows = this.#embeds;
    if (rows === null) throw new Error('an image was taken twice, or given up');
    this.#embeds = null;
    return this.#handOver(rows);
  }

  [Symbol.dispose](): void {
    this.#dropTower();
    this.#embeds?.[Symbol.dispose]();
    this.#embeds = null;
  }
}
