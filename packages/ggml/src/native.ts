/**
 * The C functions we call, as koffi prototypes, bound once per thread. Pointers are BigInts (null for NULL).
 * Only this package sees them; everything above speaks `Tensor`, `Context`, `Graph`, `Backend`.
 */
import koffi, { type LibraryHandle } from 'koffi';

export type Pointer = bigint;
/** Bytes given to or filled by C: the view's own range of its buffer. */
export type Bytes = Uint8Array | Uint16Array | Int32Array | Float32Array | BigInt64Array;
/** Where C may read or write: memory of ours, or an address of its own. */
type Memory = Bytes | Pointer;

type Unary = (ctx: Pointer, a: Pointer) => Pointer;
type Binary = (ctx: Pointer, a: Pointer, b: Pointer) => Pointer;

/** Functions exported by `libggml-base`. */
export interface BaseFunctions {
  ggml_version: () => string;
  ggml_commit: () => string;
  ggml_set_abort_callback: (callback: Pointer | null) => Pointer | null;
  ggml_log_set: (callback: Pointer | null, userData: null) => void;

  ggml_init: (params: { mem_size: number; mem_buffer: null; no_alloc: boolean }) => Pointer | null;
  ggml_free: (ctx: Pointer) => void;
  ggml_tensor_overhead: () => number;
  ggml_graph_overhead_custom: (size: number, grads: boolean) => number;
  ggml_used_mem: (ctx: Pointer) => number;
  ggml_new_tensor_4d: (ctx: Pointer, type: number, ne0: number, ne1: number, ne2: number, ne3: number) => Pointer;
  ggml_set_name: (tensor: Pointer, name: string) => Pointer;
  ggml_set_input: (tensor: Pointer) => void;
  ggml_set_output: (tensor: Pointer) => void;
  ggml_nbytes: (tensor: Pointer) => number;
  ggml_get_data: (tensor: Pointer) => Pointer;
  ggml_type_size: (type: number) => number;
  ggml_blck_size: (type: number) => number;

  ggml_new_graph_custom: (ctx: Pointer, size: number, grads: boolean) => Pointer;
  ggml_build_forward_expand: (graph: Pointer, tensor: Pointer) => void;
  ggml_graph_n_nodes: (graph: Pointer) => number;
  ggml_graph_node: (graph: Pointer, i: number) => Pointer;
  ggml_graph_add_node: (graph: Pointer, tensor: Pointer) => void;

  ggml_add: Binary;
  ggml_mul: Binary;
  ggml_div: Binary;
  ggml_scale: (ctx: Pointer, a: Pointer, s: number) => Pointer;
  ggml_scale_bias: (ctx: Pointer, a: Pointer, s: number, b: number) => Pointer;
  ggml_silu: Unary;
  ggml_sigmoid: Unary;
  ggml_softplus: Unary;
  ggml_gelu_erf: Unary;
  ggml_swiglu_split: Binary;
  ggml_sum_rows: Unary;
  ggml_norm: (ctx: Pointer, a: Pointer, eps: number) => Pointer;
  ggml_rms_norm: (ctx: Pointer, a: Pointer, eps: number) => Pointer;
  ggml_soft_max: Unary;
  ggml_argsort_top_k: (ctx: Pointer, a: Pointer, k: number) => Pointer;
  ggml_argmax: Unary;
  ggml_mul_mat: Binary;
  ggml_mul_mat_id: (ctx: Pointer, as: Pointer, b: Pointer, ids: Pointer) => Pointer;
  ggml_get_rows: Binary;
  ggml_set_rows: (ctx: Pointer, a: Pointer, b: Pointer, ids: Pointer) => Pointer;
  ggml_cpy: Binary;
  ggml_cont: Unary;
  ggml_cont_2d: (ctx: Pointer, a: Pointer, ne0: number, ne1: number) => Pointer;
  ggml_transpose: Unary;
  ggml_permute: (ctx: Pointer, a: Pointer, axis0: number, axis1: number, axis2: number, axis3: number) => Pointer;
  ggml_reshape_4d: (ctx: Pointer, a: Pointer, ne0: number, ne1: number, ne2: number, ne3: number) => Pointer;
  ggml_view_4d: (
    ctx: Pointer,
    a: Pointer,
    ne0: number,
    ne1: number,
    ne2: number,
    ne3: number,
    nb1: number,
    nb2: number,
    nb3: number,
    offset: number,
  ) => Pointer;
  ggml_concat: (ctx: Pointer, a: Pointer, b: Pointer, dim: number) => Pointer;
  ggml_rope_ext: (
    ctx: Pointer,
    a: Pointer,
    positions: Pointer,
    freqFactors: Pointer | null,
    nDims: number,
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ) => Pointer;
  ggml_rope_multi: (
    ctx: Pointer,
    a: Pointer,
    positions: Pointer,
    freqFactors: Pointer | null,
    nDims: number,
    sections: Int32Array,
    mode: number,
    nCtxOrig: number,
    freqBase: number,
    freqScale: number,
    extFactor: number,
    attnFactor: number,
    betaFast: number,
    betaSlow: number,
  ) => Pointer;
  ggml_flash_attn_ext: (
    ctx: Pointer,
    q: Pointer,
    k: Pointer,
    v: Pointer,
    mask: Pointer | null,
    scale: number,
    maxBias: number,
    logitSoftcap: number,
  ) => Pointer;
  ggml_flash_attn_ext_set_prec: (a: Pointer, prec: number) => void;
  ggml_ssm_conv: Binary;
  ggml_gated_delta_net: (
    ctx: Pointer,
    q: Pointer,
    k: Pointer,
    v: Pointer,
    g: Pointer,
    beta: Pointer,
    state: Pointer,
    nSnapshots: number,
  ) => Pointer;

  ggml_fp16_to_fp32_row: (src: Memory, dst: Memory, n: number) => void;
  ggml_bf16_to_fp32_row: (src: Memory, dst: Memory, n: number) => void;
  ggml_fp32_to_fp16_row: (src: Memory, dst: Memory, n: number) => void;
  ggml_fp32_to_bf16_row: (src: Memory, dst: Memory, n: number) => void;
  ggml_quantize_chunk: (
    type: number,
    src: Memory,
    dst: Memory,
    start: number,
    nRows: number,
    nPerRow: number,
    importance: null,
  ) => number;

  ggml_backend_dev_name: (device: Pointer) => string;
  ggml_backend_dev_description: (device: Pointer) => string;
  ggml_backend_dev_memory: (device: Pointer, free: BigInt64Array, total: BigInt64Array) => void;
  ggml_backend_dev_type: (device: Pointer) => number;
  ggml_backend_dev_get_props: (device: Pointer, props: Bytes) => void;
  ggml_backend_dev_backend_reg: (device: Pointer) => Pointer;
  ggml_backend_dev_init: (device: Pointer, params: null) => Pointer | null;
  ggml_backend_dev_buffer_type: (device: Pointer) => Pointer;
  ggml_backend_dev_buffer_from_host_ptr: (
    device: Pointer,
    memory: Pointer,
    size: number,
    tensorSizeMax: number,
  ) => Pointer | null;
  ggml_backend_dev_supports_op: (device: Pointer, op: Pointer) => boolean;
  ggml_backend_reg_name: (reg: Pointer) => string;
  ggml_backend_reg_get_proc_address: (reg: Pointer, name: string) => Pointer | null;
  ggml_backend_free: (backend: Pointer) => void;
  ggml_backend_graph_compute: (backend: Pointer, graph: Pointer) => number;
  ggml_backend_synchronize: (backend: Pointer) => void;
  ggml_backend_tensor_set: (tensor: Pointer, data: Memory, offset: number, size: number) => void;
  ggml_backend_tensor_get: (tensor: Pointer, data: Memory, offset: number, size: number) => void;
  ggml_backend_tensor_alloc: (buffer: Pointer, tensor: Pointer, address: Pointer) => number;
  ggml_backend_tensor_memset: (tensor: Pointer, value: number, offset: number, size: number) => void;
  ggml_backend_buft_name: (buft: Pointer) => string;
  ggml_backend_buft_is_host: (buft: Pointer) => boolean;
  ggml_backend_buft_get_alloc_size: (buft: Pointer, tensor: Pointer) => number;
  ggml_backend_buft_get_alignment: (buft: Pointer) => number;
  ggml_backend_buft_get_max_size: (buft: Pointer) => number | bigint;
  ggml_backend_buft_alloc_buffer: (buft: Pointer, size: number) => Pointer | null;
  ggml_backend_alloc_ctx_tensors_from_buft_size: (ctx: Pointer, buft: Pointer) => number;
  ggml_backend_alloc_ctx_tensors_from_buft: (ctx: Pointer, buft: Pointer) => Pointer | null;
  ggml_backend_buffer_free: (buffer: Pointer) => void;
  ggml_backend_buffer_clear: (buffer: Pointer, value: number) => void;
  ggml_backend_buffer_get_size: (buffer: Pointer) => number;
  ggml_backend_buffer_set_usage: (buffer: Pointer, usage: number) => void;

  ggml_backend_meta_device: (devices: BigInt64Array, n: number, splitOf: Pointer, userData: null) => Pointer;
  ggml_backend_meta_simple_backend: (backend: Pointer, index: number) => Pointer;

  ggml_gallocr_new: (buft: Pointer) => Pointer | null;
  ggml_gallocr_free: (allocator: Pointer) => void;
  ggml_gallocr_reserve: (allocator: Pointer, graph: Pointer) => boolean;
  /** Plans as `reserve` does, allocates nothing; `sizes` gets one number a buffer. */
  ggml_gallocr_reserve_n_size: (
    allocator: Pointer,
    graph: Pointer,
    nodeBufferIds: null,
    leafBufferIds: null,
    sizes: BigInt64Array,
  ) => void;
  ggml_gallocr_alloc_graph: (allocator: Pointer, graph: Pointer) => boolean;
  ggml_gallocr_get_buffer_size: (allocator: Pointer, bufferId: number) => number;

  ggml_backend_sched_new: (
    backends: BigInt64Array,
    bufferTypes: BigInt64Array,
    n: number,
    graphSize: number,
    parallel: boolean,
    opOffload: boolean,
  ) => Pointer;
  ggml_backend_sched_free: (scheduler: Pointer) => void;
  ggml_backend_sched_reset: (scheduler: Pointer) => void;
  ggml_backend_sched_reserve: (scheduler: Pointer, graph: Pointer) => boolean;
  /** Plans as `reserve` does, allocates nothing; `sizes` gets one number a backend. */
  ggml_backend_sched_reserve_size: (scheduler: Pointer, graph: Pointer, sizes: BigInt64Array) => void;
  ggml_backend_sched_alloc_graph: (scheduler: Pointer, graph: Pointer) => boolean;
  ggml_backend_sched_graph_compute: (scheduler: Pointer, graph: Pointer) => number;
  ggml_backend_sched_set_tensor_backend: (scheduler: Pointer, node: Pointer, backend: Pointer) => void;
  ggml_backend_sched_get_buffer_size: (scheduler: Pointer, backend: Pointer) => number;
}

/** Functions exported by `libggml`: the registry of backends. */
export interface RegistryFunctions {
  ggml_backend_load_all_from_path: (dir: string) => void;
  /** Null when the file is no backend, or one that does not run here. */
  ggml_backend_load: (file: string) => Pointer | null;
  ggml_backend_reg_count: () => number;
  ggml_backend_reg_get: (index: number) => Pointer;
  ggml_backend_dev_count: () => number;
  ggml_backend_dev_get: (index: number) => Pointer;
}

export type Native = BaseFunctions &
  RegistryFunctions & {
    /** Address of a C function without arguments or effects. */
    readonly idleFunction: Pointer;
  };

const unary = 'void *(void *ctx, void *a)';
const binary = 'void *(void *ctx, void *a, void *b)';

/** `RESULT(ARGUMENTS)` of each function; the name goes between. */
const basePrototypes: Record<keyof BaseFunctions, string> = {
  ggml_version: 'const char *()',
  ggml_commit: 'const char *()',
  ggml_set_abort_callback: 'void *(void *callback)',
  ggml_log_set: 'void(void *callback, void *user_data)',

  ggml_init: 'void *(GgmlInitParams params)',
  ggml_free: 'void(void *ctx)',
  ggml_tensor_overhead: 'size_t()',
  ggml_graph_overhead_custom: 'size_t(size_t size, bool grads)',
  ggml_used_mem: 'size_t(void *ctx)',
  ggml_new_tensor_4d: 'void *(void *ctx, int type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3)',
  ggml_set_name: 'void *(void *tensor, const char *name)',
  ggml_set_input: 'void(void *tensor)',
  ggml_set_output: 'void(void *tensor)',
  ggml_nbytes: 'size_t(void *tensor)',
  ggml_get_data: 'void *(void *tensor)',
  ggml_type_size: 'size_t(int type)',
  ggml_blck_size: 'int64_t(int type)',

  ggml_new_graph_custom: 'void *(void *ctx, size_t size, bool grads)',
  ggml_build_forward_expand: 'void(void *graph, void *tensor)',
  ggml_graph_n_nodes: 'int(void *graph)',
  ggml_graph_node: 'void *(void *graph, int i)',
  ggml_graph_add_node: 'void(void *graph, void *tensor)',

  ggml_add: binary,
  ggml_mul: binary,
  ggml_div: binary,
  ggml_scale: 'void *(void *ctx, void *a, float s)',
  ggml_scale_bias: 'void *(void *ctx, void *a, float s, float b)',
  ggml_silu: unary,
  ggml_sigmoid: unary,
  ggml_softplus: unary,
  ggml_gelu_erf: unary,
  ggml_swiglu_split: binary,
  ggml_sum_rows: unary,
  ggml_norm: 'void *(void *ctx, void *a, float eps)',
  ggml_rms_norm: 'void *(void *ctx, void *a, float eps)',
  ggml_soft_max: unary,
  ggml_argsort_top_k: 'void *(void *ctx, void *a, int k)',
  ggml_argmax: unary,
  ggml_mul_mat: binary,
  ggml_mul_mat_id: 'void *(void *ctx, void *as, void *b, void *ids)',
  ggml_get_rows: binary,
  ggml_set_rows: 'void *(void *ctx, void *a, void *b, void *ids)',
  ggml_cpy: binary,
  ggml_cont: unary,
  ggml_cont_2d: 'void *(void *ctx, void *a, int64_t ne0, int64_t ne1)',
  ggml_transpose: unary,
  ggml_permute: 'void *(void *ctx, void *a, int axis0, int axis1, int axis2, int axis3)',
  ggml_reshape_4d: 'void *(void *ctx, void *a, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3)',
  ggml_view_4d:
    'void *(void *ctx, void *a, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3, size_t nb1, size_t nb2, size_t nb3, size_t offset)',
  ggml_concat: 'void *(void *ctx, void *a, void *b, int dim)',
  ggml_rope_ext:
    'void *(void *ctx, void *a, void *b, void *c, int n_dims, int mode, int n_ctx_orig, float freq_base, float freq_scale, float ext_factor, float attn_factor, float beta_fast, float beta_slow)',
  ggml_rope_multi:
    'void *(void *ctx, void *a, void *b, void *c, int n_dims, int *sections, int mode, int n_ctx_orig, float freq_base, float freq_scale, float ext_factor, float attn_factor, float beta_fast, float beta_slow)',
  ggml_flash_attn_ext:
    'void *(void *ctx, void *q, void *k, void *v, void *mask, float scale, float max_bias, float logit_softcap)',
  ggml_flash_attn_ext_set_prec: 'void(void *a, int prec)',
  ggml_ssm_conv: binary,
  ggml_gated_delta_net:
    'void *(void *ctx, void *q, void *k, void *v, void *g, void *beta, void *state, int64_t n_snapshots)',

  ggml_fp16_to_fp32_row: 'void(void *src, void *dst, int64_t n)',
  ggml_bf16_to_fp32_row: 'void(void *src, void *dst, int64_t n)',
  ggml_fp32_to_fp16_row: 'void(void *src, void *dst, int64_t n)',
  ggml_fp32_to_bf16_row: 'void(void *src, void *dst, int64_t n)',
  ggml_quantize_chunk:
    'size_t(int type, void *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, void *imatrix)',

  ggml_backend_dev_name: 'const char *(void *device)',
  ggml_backend_dev_description: 'const char *(void *device)',
  ggml_backend_dev_memory: 'void(void *device, void *free, void *total)',
  ggml_backend_dev_type: 'int(void *device)',
  ggml_backend_dev_get_props: 'void(void *device, void *props)',
  ggml_backend_dev_backend_reg: 'void *(void *device)',
  ggml_backend_dev_init: 'void *(void *device, const char *params)',
  ggml_backend_dev_buffer_type: 'void *(void *device)',
  ggml_backend_dev_buffer_from_host_ptr: 'void *(void *device, void *memory, size_t size, size_t tensor_size_max)',
  ggml_backend_dev_supports_op: 'bool(void *device, void *op)',
  ggml_backend_reg_name: 'const char *(void *reg)',
  ggml_backend_reg_get_proc_address: 'void *(void *reg, const char *name)',
  ggml_backend_free: 'void(void *backend)',
  ggml_backend_graph_compute: 'int(void *backend, void *graph)',
  ggml_backend_synchronize: 'void(void *backend)',
  ggml_backend_tensor_set: 'void(void *tensor, void *data, size_t offset, size_t size)',
  ggml_backend_tensor_get: 'void(void *tensor, void *data, size_t offset, size_t size)',
  ggml_backend_tensor_alloc: 'int(void *buffer, void *tensor, void *address)',
  ggml_backend_tensor_memset: 'void(void *tensor, uint8_t value, size_t offset, size_t size)',
  ggml_backend_buft_name: 'const char *(void *buft)',
  ggml_backend_buft_is_host: 'bool(void *buft)',
  ggml_backend_buft_get_alloc_size: 'size_t(void *buft, void *tensor)',
  ggml_backend_buft_get_alignment: 'size_t(void *buft)',
  ggml_backend_buft_get_max_size: 'size_t(void *buft)',
  ggml_backend_buft_alloc_buffer: 'void *(void *buft, size_t size)',
  ggml_backend_alloc_ctx_tensors_from_buft_size: 'size_t(void *ctx, void *buft)',
  ggml_backend_alloc_ctx_tensors_from_buft: 'void *(void *ctx, void *buft)',
  ggml_backend_buffer_free: 'void(void *buffer)',
  ggml_backend_buffer_clear: 'void(void *buffer, uint8_t value)',
  ggml_backend_buffer_get_size: 'size_t(void *buffer)',
  ggml_backend_buffer_set_usage: 'void(void *buffer, int usage)',

  ggml_backend_meta_device: 'void *(void *devices, size_t n, void *split_of, void *user_data)',
  ggml_backend_meta_simple_backend: 'void *(void *backend, size_t index)',

  ggml_gallocr_new: 'void *(void *buft)',
  ggml_gallocr_free: 'void(void *allocator)',
  ggml_gallocr_reserve: 'bool(void *allocator, void *graph)',
  ggml_gallocr_reserve_n_size:
    'void(void *allocator, void *graph, void *node_buffer_ids, void *leaf_buffer_ids, void *sizes)',
  ggml_gallocr_alloc_graph: 'bool(void *allocator, void *graph)',
  ggml_gallocr_get_buffer_size: 'size_t(void *allocator, int buffer_id)',

  ggml_backend_sched_new:
    'void *(void *backends, void *buffer_types, int n, size_t graph_size, bool parallel, bool op_offload)',
  ggml_backend_sched_free: 'void(void *scheduler)',
  ggml_backend_sched_reset: 'void(void *scheduler)',
  ggml_backend_sched_reserve: 'bool(void *scheduler, void *graph)',
  ggml_backend_sched_reserve_size: 'void(void *scheduler, void *graph, void *sizes)',
  ggml_backend_sched_alloc_graph: 'bool(void *scheduler, void *graph)',
  ggml_backend_sched_graph_compute: 'int(void *scheduler, void *graph)',
  ggml_backend_sched_set_tensor_backend: 'void(void *scheduler, void *node, void *backend)',
  ggml_backend_sched_get_buffer_size: 'size_t(void *scheduler, void *backend)',
};

const registryPrototypes: Record<keyof RegistryFunctions, string> = {
  ggml_backend_load_all_from_path: 'void(const char *dir)',
  ggml_backend_load: 'void *(const char *file)',
  ggml_backend_reg_count: 'size_t()',
  ggml_backend_reg_get: 'void *(size_t index)',
  ggml_backend_dev_count: 'size_t()',
  ggml_backend_dev_get: 'void *(size_t index)',
};

const withName = (prototype: string, name: string): string => prototype.replace('(', ` ${name}(`);

const bind = (library: LibraryHandle, prototypes: Record<string, string>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(prototypes).map(([name, prototype]) => [name, library.func(withName(prototype, name))]),
  );

let initParamsDeclared = false;

/** Loads both libraries into the process (a second thread shares them) and binds every function above. */
export const bindNative = (basePath: string, registryPath: string): Native => {
  if (!initParamsDeclared) {
    koffi.struct('GgmlInitParams', { mem_size: 'size_t', mem_buffer: 'void *', no_alloc: 'bool' });
    initParamsDeclared = true;
  }
  // Global symbols: the backend plug-ins resolve ggml-base from the process.
  const base = koffi.load(basePath, { global: true });
  const registry = koffi.load(registryPath, { global: true });
  const idleFunction: unknown = base.symbol('ggml_cycles');
  return { ...bind(base, basePrototypes), ...bind(registry, registryPrototypes), idleFunction } as unknown as Native;
};
