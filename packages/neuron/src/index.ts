/** What other packages may use of the neuron: reading its config, running it, and what a host has and lacks. */
export { GpuMonitor, type GpuState } from './discovery/gpu-monitor.ts';
export { createGgmlEngine } from './harness/create-ggml-engine.ts';
export { endProcess } from './harness/end-process.ts';
export { enginePackages, probeEngine, type EnginePackages, type EngineProbe } from './harness/probe-engine.ts';
export { pullModel } from './harness/pull-model.ts';
export { neuronVersion, startNeuron, storeOptions } from './main.ts';
export type { Engine, EngineFactory, EngineParts, Neuron, NeuronEnvironment } from './main.ts';
export { ModelStore, type StoredModel } from './model-store/model-store.ts';
export { readNeuronConfig, type NeuronConfigFile, type NeuronConfigSource } from './read-config.ts';
