/** Runs a vision tower: patch rows in, rows of the language model's width out, which stay on the device. */
import {
  Buffer,
  Context,
  GraphAllocator,
  tensorTypes,
  type Backend,
  type BufferType,
  type Native,
  type Tensor,
} from '@cortex/ggml';
import type { TowerGrid, VisionTower } from '../arch/arch.ts';
import type { ImageEmbeds, ImageInput } from './device-model.ts';
import { mergeOrder, resamplePositions } from './position-table.ts';
import { TowerGraph } from './tower-graph.ts';

/** Grids whose resampled positions are kept; photographs of one camera share one. */
const gridsMax = 8;

/** One image's rows in a buffer of their own. */
export class DeviceEmbeds implements ImageEmbeds {
  readonly nTokens: number;
  /** f32 [hidden, nTokens] */
  readonly tensor: Tensor;
  readonly #context: Context;
  readonly #buffer: Buffer;

  constructor(native: Native, type: BufferType, hidden: number, nTokens: number) {
    this.#context = new Context(native, { nTensorsMax: 1 });
    this.tensor = this.#context.tensor(tensorTypes.f32, [hidden, nTokens]);
    this.#buffer = Buffer.allocate(this.#context, type);
    this.nTokens = nTokens;
  }

  read(): Float32Array {
    return this.tensor.read(new Float32Array(this.tensor.nElements));
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}

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

  constructor(parts: EncoderParts) {
    this.#parts = parts;
    this.#allocator = new GraphAllocator(parts.backend.device.native, parts.bufferType);
  }

  get nBytes(): number {
    return this.#allocator.nBytes;
  }

  encode(image: ImageInput): DeviceEmbeds {
    const { readers, hiddenSize, backend } = this.#parts;
    if (readers === null) return this.#compute(image);
    using rows = this.#compute(image);
    const handed = new DeviceEmbeds(backend.device.native, readers, hiddenSize, image.nTokens);
    handed.tensor.write(rows.read());
    return handed;
  }

  #compute({ grid, patches, nTokens }: ImageInput): DeviceEmbeds {
    const { backend, bufferType, tower, hiddenSize } = this.#parts;
    const nPatches = grid.h * grid.w;
    if (patches.length !== nPatches * tower.patchLength || nTokens * tower.mergeSize ** 2 !== nPatches) {
      throw new RangeError(`an image of ${patches.length} values and ${nTokens} tokens is no ${grid.h}×${grid.w} grid`);
    }
    const embeds = new DeviceEmbeds(backend.device.native, bufferType, hiddenSize, nTokens);
    try {
      const weight = (name: string): Tensor => this.#parts.weight(name);
      using step = new TowerGraph(backend.device.native, tower, { weight, embeds: embeds.tensor }, grid);
      this.#allocator.allocate(step.graph);
      const { inputs } = step;
      const of = this.#gridInputs(grid);
      inputs.patches.write(patches);
      inputs.positionEmbeds.write(of.embeds);
      inputs.positions.write(of.positions);
      backend.compute(step.graph);
      return embeds;
    } catch (error) {
      embeds[Symbol.dispose]();
      throw error;
    }
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
