/** Runs a vision tower: patch rows in, rows of the language model's width out, which stay on the device. */
import { GraphAllocator, type Backend, type BufferType, type Tensor } from '@cortex/ggml';
import type { TowerGrid, VisionTower } from '../arch/arch.ts';
import { DeviceEmbeds } from './device-embeds.ts';
import type { ImageInput } from './device-model.ts';
import { mergeOrder, resamplePositions } from './position-table.ts';
import { TowerGraph } from './tower-graph.ts';
import { TowerRun } from './tower-run.ts';

/** Grids whose resampled positions are kept; photographs of one camera share one. */
const gridsMax = 8;

interface GridInputs {
  readonly embeds: Float32Array;
  /** Blocks h, w, h, w. */
  readonly positions: Int32Array;
}

export interface EncoderParts {
  readonly backend: Backend;
  readonly bufferType: BufferType;
  readonly tower: VisionTower;
  /** f32 [positionSide², towerHidden] */
  readonly positionTable: Float32Array;
  readonly hiddenSize: number;
  /** Where the rows are wanted, if not where the tower is: they go there by way of the host. */
  readonly readers: BufferType | null;
  weight(name: string): Tensor;
}

export class ImageEncoder implements Disposable {
  readonly #parts: EncoderParts;
  readonly #allocator: GraphAllocator;
  readonly #grids = new Map<string, GridInputs>();
  #latest: TowerRun | null = null;

  constructor(parts: EncoderParts) {
    this.#parts = parts;
    this.#allocator = new GraphAllocator(parts.backend.device.native, parts.bufferType);
  }

  get nBytes(): number {
    return this.#allocator.nBytes;
  }

  /** @throws RangeError when its patches or tokens are not those of its grid. */
  begin({ grid, patches, nTokens }: ImageInput): TowerRun {
    const { backend, bufferType, tower, hiddenSize, readers } = this.#parts;
    const nPatches = grid.h * grid.w;
    if (patches.length !== nPatches * tower.patchLength || nTokens * tower.mergeSize ** 2 !== nPatches) {
      throw new RangeError(`an image of ${patches.length} values and ${nTokens} tokens is no ${grid.h}×${grid.w} grid`);
    }
    // They share the memory for what is computed on the way.
    this.#latest?.settle();
    const { native } = backend.device;
    const embeds = new DeviceEmbeds(native, bufferType, hiddenSize, nTokens);
    const run = new TowerRun(backend, embeds, (rows) => (readers === null ? rows : this.#handed(rows, readers)));
    try {
      const weight = (name: string): Tensor => this.#parts.weight(name);
      const { graph, inputs } = run.start(new TowerGraph(native, tower, { weight, embeds: embeds.tensor }, grid));
      this.#allocator.allocate(graph);
      const of = this.#gridInputs(grid);
      inputs.patches.write(patches);
      inputs.positionEmbeds.write(of.embeds);
      inputs.positions.write(of.positions);
    } catch (error) {
      run[Symbol.dispose]();
      throw error;
    }
    this.#latest = run;
    return run;
  }

  #handed(rows: DeviceEmbeds, to: BufferType): DeviceEmbeds {
    using own = rows;
    const handed = new DeviceEmbeds(this.#parts.backend.device.native, to, this.#parts.hiddenSize, own.nTokens);
    handed.tensor.write(own.read());
    return handed;
  }

  #gridInputs(grid: TowerGrid): GridInputs {
    const key = `${grid.h}x${grid.w}`;
    const known = this.#grids.get(key);
    if (known !== undefined) return known;
    const { tower, positionTable } = this.#parts;
    const order = mergeOrder(grid, tower.mergeSize);
    const n = order.rows.length;
    const positions = new Int32Array(4 * n);
    positions.set(order.rows, 0);
    positions.set(order.columns, n);
    positions.copyWithin(2 * n, 0, 2 * n);
    const shape = { side: tower.positionSide, width: tower.hiddenSize };
    const inputs = { embeds: resamplePositions(positionTable, shape, grid, order), positions };
    this.#grids.set(key, inputs);
    const [oldest] = this.#grids.keys();
    if (this.#grids.size > gridsMax && oldest !== undefined) this.#grids.delete(oldest);
    return inputs;
  }

  [Symbol.dispose](): void {
    this.#allocator[Symbol.dispose]();
  }
}
