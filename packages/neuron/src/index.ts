/** What other packages may use of the neuron: reading its config and running it. */
export { createGgmlEngine } from './harness/create-ggml-engine.ts';
export { endProcess } from './harness/end-process.ts';
export { neuronVersion, startNeuron } from './main.ts';
export type { Engine, EngineFactory, EngineParts, Neuron, NeuronEnvironment } from './main.ts';
export { readNeuronConfig, type NeuronConfigFile, type NeuronConfigSource } from './read-config.ts';
