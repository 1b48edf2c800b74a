/** This machine apart from its devices: Node, the files of settings, the ports, the models on disk. */
import { access } from 'node:fs/promises';
import { ConfigError, type NeuronConfig } from '@cortex/core';
import type { GatewayConfig } from '@cortex/gateway';
import { bytesText, counted } from '../terminal/quantities.ts';
import { takenPorts, whoAnswers, type WantedPort } from '../up/taken-ports.ts';
import type { Finding } from './finding.ts';
import { exampleModel } from '../example-model.ts';

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
}

/** Of `engines` in package.json. */
const nodeMin = [20, 19] as const;

export const nodeFinding = (version: string): Finding => {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  const isEnough = major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1]);
  if (isEnough) return { level: 'ok', subject: 'Node', text: version };
  const remedy = `install Node ${nodeMin.join('.')} or later (nodejs.org)`;
  return { level: 'broken', subject: 'Node', text: `${version} is too old`, remedy };
};

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

const brokenConfig = (thrown: unknown): readonly Finding[] => {
  if (!(thrown instanceof ConfigError)) throw thrown;
  return thrown.problems.map((text) => ({ level: 'broken', subject: 'settings', text, remedy: 'correct it there' }));
};

export interface ReadSettings {
  readonly findings: readonly Finding[];
  /** Null when it has errors, or when there is no file and none was named. */
  readonly gateway: GatewayConfig | null;
  readonly neuron: NeuronConfig | null;
}

const readGateway = async (file: string | undefined, { env }: Surroundings): Promise<GatewayConfig | null> => {
  const { readGatewayConfig } = await import('@cortex/gateway');
  const named = file ?? ((await exists('cortex.toml')) ? 'cortex.toml' : null);
  return named === null ? null : readGatewayConfig({ file: named, env });
};

/** As `serve` and `up` read them. */
export const readSettings = async (file: string | undefined, surroundings: Surroundings): Promise<ReadSettings> => {
  const { readNeuronConfig } = await import('@cortex/neuron');
  const findings: Finding[] = [];
  const attempt = async <T>(read: () => Promise<T | null>): Promise<T | null> => {
    try {
      return await read();
    } catch (thrown) {
      findings.push(...brokenConfig(thrown));
      return null;
    }
  };
  const gateway = await attempt(() => readGateway(file, surroundings));
  const neuron = await attempt(() => readNeuronConfig({ file: null, ...surroundings }));
  if (findings.length === 0) {
    const cortex = gateway === null ? 'no cortex.toml here' : `${file ?? 'cortex.toml'} is fine`;
    const other = neuron?.file === null ? 'no neuron.toml here' : 'neuron.toml is fine';
    findings.push({ level: 'ok', subject: 'settings', text: `${cortex}, ${other}` });
  }
  return { findings, gateway, neuron: neuron?.config ?? null };
};

/** Free, or one of ours: both are well. */
const portFinding = async (wanted: WantedPort, whose: string): Promise<Finding> => {
  const subject = 'port';
  const [taken] = await takenPorts([wanted]);
  if (taken === undefined) return { level: 'ok', subject, text: `${wanted.port} is free (${whose})` };
  const who = await whoAnswers(wanted.host, wanted.port);
  if (who !== null) return { level: 'ok', subject, text: `${wanted.port}: a ${who} answers there (${whose})` };
  const remedy = `cortex up ${wanted.flag} PORT takes another; who has it: ss -ltnp 'sport = :${wanted.port}'`;
  return { level: 'warning', subject, text: `${wanted.port} is taken by something else (${whose})`, remedy };
};

/** The metrics answer in no language that would say who they are: next to a running gateway they are its own. */
export const portFindings = async ({ gateway, neuron }: ReadSettings): Promise<readonly Finding[]> => {
  const listen = gateway?.cortex.gateway.listen ?? { host: '127.0.0.1', port: 31_313 };
  const metrics = gateway?.cortex.gateway.metrics_listen ?? { host: '127.0.0.1', port: 31_314 };
  const local = { host: '127.0.0.1', port: neuron?.port ?? 13_131 };
  const runs = (await whoAnswers(listen.host, listen.port)) === 'cortex';
  return [
    await portFinding({ ...listen, flag: '--port' }, 'gateway'),
    ...(runs ? [] : [await portFinding({ ...metrics, flag: '--metrics-port' }, 'metrics')]),
    await portFinding({ ...local, flag: '--neuron-port' }, 'neuron'),
  ];
};

export const storeFinding = async (neuron: NeuronConfig, surroundings: Surroundings): Promise<Finding> => {
  const { ModelStore, storeOptions } = await import('@cortex/neuron');
  const options = storeOptions(neuron, surroundings);
  const models = await new ModelStore(options).list();
  const where = [...options.modelDirs, options.hubCacheDir].join(', ');
  const subject = 'models';
  if (models.length === 0)
    return {
      level: 'note',
      subject,
      text: `none in ${where}`,
      remedy: `cortex pull ${exampleModel}, or cortex up --demo`,
    };
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0);
  return { level: 'ok', subject, text: `${counted(models.length, 'model')}, ${bytesText(bytes)}, in ${where}` };
};
