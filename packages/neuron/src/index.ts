/** What other packages may use of the neuron: reading its config and running it. */
export { neuronVersion, startNeuron } from './main.ts';
export type { Engine, EngineFactory, EngineParts, Neuron, NeuronEnvironment } from './main.ts';
export { readNeuronConfig, type NeuronConfigFile, type NeuronConfigSource } from './read-config.ts';
