/**
 * Conversion of rows between number types by a CPU device's own threads. Results in quantised types are those of
 * `ggml_quantize_chunk` without an importance matrix, but for iq4_nl, where the quicker choice of scales is taken.
 */
import koffi from 'koffi';
import type { Backend } from './backend.ts';
import { Buffer } from './buffer.ts';
import { Context } from './context.ts';
import type { Graph } from './graph.ts';
import type { Bytes } from './native.ts';
import { copyInto } from './ops/index.ts';
import type { Tensor } from './tensor.ts';
import type { TensorType } from './types.ts';

export interface RowConversion {
  readonly from: TensorType;
  readonly to: TensorType;
  readonly rowLength: number;
  readonly nRows: number;
}

/** Memory and graph for conversions of one form. */
class Stage implements Disposable {
  readonly form: RowConversion;
  readonly source: Tensor;
  /** The target's own memory. */
  readonly result: Uint8Array;
  readonly graph: Graph;
  readonly #context: Context;
  readonly #buffer: Buffer;

  constructor({ device }: Backend, form: RowConversion) {
    const { from, to, rowLength, nRows } = form;
    this.form = form;
    this.#context = new Context(device.native, { nTensorsMax: 3, nNodesMax: 4 });
    this.source = this.#context.tensor(from, [rowLength, nRows]);
    const target = this.#context.tensor(to, [rowLength, nRows]);
    this.graph = this.#context.graph();
    this.graph.expand(copyInto(this.#context, this.source, target));
    try {
      this.#buffer = Buffer.allocate(this.#context, device.bufferType);
    } catch (error) {
      this.#context[Symbol.dispose]();
      throw error;
    }
    this.result = new Uint8Array(koffi.view(device.native.ggml_get_data(target.ptr), target.nBytes));
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}

const sameForm = (a: RowConversion, b: RowConversion): boolean =>
  a.from === b.from && a.to === b.to && a.rowLength === b.rowLength && a.nRows === b.nRows;

export class RowConverter implements Disposable {
  readonly #backend: Backend;
  #stage: Stage | null = null;

  /** @param backend of the CPU; it computes with the threads that it was given. */
  constructor(backend: Backend) {
    if (backend.device.type !== 'cpu')
      throw new RangeError(`rows are converted on a CPU, not on ${backend.device.name}`);
    this.#backend = backend;
  }

  /**
   * Converts rows that lie one after the other. The result is native memory, valid until the next call or the end of
   * the converter.
   * @throws OutOfMemoryError.
   */
  convert(form: RowConversion, source: Bytes): Uint8Array {
    if (this.#stage === null || !sameForm(this.#stage.form, form)) {
      this.#stage?.[Symbol.dispose]();
      this.#stage = null;
      this.#stage = new Stage(this.#backend, form);
    }
    const { source: from, result, graph } = this.#stage;
    if (source.byteLength !== from.nBytes)
      throw new RangeError(`${source.byteLength} bytes for rows of ${from.nBytes}`);
    from.write(source);
    this.#backend.compute(graph);
    return result;
  }

  [Symbol.dispose](): void {
    this.#stage?.[Symbol.dispose]();
    this.#stage = null;
  }
}
