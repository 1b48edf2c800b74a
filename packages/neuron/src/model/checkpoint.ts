/** A checkpoint open for reading, whatever its format: its configuration and its tensors, by name. */
import type { FileMapping, TensorType } from '@cortex/ggml';
import type { TensorNames } from './weight-spec.ts';

export interface CheckpointTensor {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major, the slowest axis first. */
  readonly shape: readonly number[];
  readonly nBytes: number;
}

/** A tensor's bytes where the system has mapped them. Whoever keeps the address holds the mapping. */
export interface MappedBytes {
  readonly mapping: FileMapping;
  readonly offset: number;
  readonly nBytes: number;
  readonly address: bigint;
}

export interface Checkpoint extends TensorNames, Disposable {
  readonly format: 'safetensors' | 'gguf';
  /** For messages: the folder's or the file's own name. */
  readonly label: string;
  /** As `config.json` has it: a JSON object, not looked at yet. */
  readonly config: unknown;
  readonly names: readonly string[];
  /** @throws CortexError `model_load_failed` when there is none of this name, or of a type that is not read. */
  tensor(name: string): CheckpointTensor;
  /**
   * Fills `target` with the tensor's bytes from `byteOffset` on, blocking the thread.
   * @throws CortexError `model_load_failed` when the file cannot be read or became shorter, `internal_error` when the
   * range is not within the tensor or the checkpoint is closed.
   */
  read(tensor: CheckpointTensor, byteOffset: number, target: Uint8Array): void;
  /** Null where the file is not mapped. */
  mapped(tensor: CheckpointTensor): MappedBytes | null;
}
