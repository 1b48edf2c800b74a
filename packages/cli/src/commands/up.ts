/** `cortex up`: a gateway and a neuron on this machine, in one process tree; what `npm start` runs. */
import { once } from 'node:events';
import { CortexError } from '@cortex/core';
import type { Gateway, GatewayConfig } from '@cortex/gateway';
import { Command, InvalidArgumentError } from 'commander';
import { urlDefault } from '../api/client-options.ts';
import { GatewayApi } from '../api/gateway-api.ts';
import type { Endpoint } from '../api/http-call.ts';
import { imagePart } from '../api/image-part.ts';
import type { BundledModel } from '../bundled-model.ts';
import { AnswerWriter } from '../chat/answer-writer.ts';
import { Conversation } from '../chat/conversation.ts';
import type { CommandParts } from '../command-parts.ts';
import { repeatableOption } from '../repeatable-option.ts';
import { durationText } from '../terminal/quantities.ts';
import { curlExample } from '../up/curl-example.ts';
import { lookAtNeuron, untilActivated } from '../up/local-neuron.ts';
import { LogConsole } from '../up/log-console.ts';
import { nearPath } from '../up/near-path.ts';
import { NeuronSupervisor, type SupervisorEvent } from '../up/neuron-supervisor.ts';
import { takenPorts } from '../up/taken-ports.ts';
import { readUpConfig, type UpConfig, type UpFlags } from '../up/up-config.ts';
import { addressLines, foundLines, type Addresses } from '../up/up-report.ts';
import { Ended, exitCodes } from '../run-command.ts';

/** @throws Ended when a port is taken, which has been said. */
const checkPorts = async (parts: CommandParts, config: UpConfig, gateway: GatewayConfig): Promise<void> => {
  const { listen, metrics_listen: metrics } = gateway.cortex.gateway;
  const taken = await takenPorts([
    { ...listen, flag: '--port' },
    { ...metrics, flag: '--metrics-port' },
    { host: config.neuron.host, port: config.neuron.port, flag: '--neuron-port' },
  ]);
  if (taken.length === 0) return;
  parts.err.line(taken.join('\n'));
  throw new Ended(exitCodes.failed);
};

const tellEvent = ({ out }: CommandParts, event: SupervisorEvent): void => {
  if (event.kind === 'back') return out.line(out.style('green', `neuron is back (process ${event.pid ?? '?'})`));
  const { how, lastWords } = event.end;
  const again = `starting it again in ${durationText(event.restartMs)}`;
  return out.line(
    [out.style('red', `neuron ended with ${how}; ${again}`), ...lastWords.map((line) => `  ${line}`)].join('\n'),
  );
};

/** Asks about the bundled picture, as any client would. */
const demonstrate = async (
  parts: CommandParts,
  gateway: Gateway,
  { id, sample }: BundledModel,
  signal: AbortSignal,
): Promise<void> => {
  const { out, err, env, homeDir } = parts;
  const apiKey = env['CORTEX_API_KEY'];
  const api = new GatewayApi({ url: gateway.url, ...(apiKey === undefined ? {} : { apiKey }) });
  const conversation = new Conversation(api, { model: id, temperature: 0, think: true });
  out.line(
    `\n  ${out.style('dim', nearPath(sample.picture, process.cwd()))}\n  ${out.style('bold', `> ${sample.question}`)}`,
  );
  out.write('  ');
  const picture = await imagePart(sample.picture, homeDir);
  try {
    const { totalMs } = await conversation.ask(sample.question, [picture], new AnswerWriter(out, err), signal);
    out.line(`  ${out.style('dim', `answered in ${durationText(totalMs)}`)}\n`);
  } catch (thrown) {
    signal.throwIfAborted();
    out.line(out.style('red', CortexError.from(thrown).message));
  }
};

const showActivation = async (parts: CommandParts, neuron: Endpoint, stopped: AbortSignal): Promise<void> => {
  const { out } = parts;
  const startedMs = performance.now();
  const { loaded, failed } = await untilActivated(neuron, out, stopped);
  if (loaded.length > 0) out.line(`  loaded   ${loaded.join(', ')} in ${durationText(performance.now() - startedMs)}`);
  for (const { id, error } of failed) out.line(`  ${out.style('red', 'failed')}   ${id}: ${error}`);
};

const showWayOn = (parts: CommandParts, addresses: Addresses, demo: BundledModel | null): void => {
  const { out } = parts;
  out.line(addressLines(addresses, out).join('\n'));
  if (demo === null) {
    const at = new URL(addresses.url).port === new URL(urlDefault).port ? '' : ` --url ${addresses.url}`;
    out.line(`\nTalk to a model: cortex chat${at}. Ctrl-C ends both programs.\n`);
    return;
  }
  const { picture, question } = demo.sample;
  const example = curlExample({ url: addresses.url, model: demo.id, question, picture, cwd: process.cwd() });
  out.line(`\nAsk it yourself, from this folder:\n\n${example}\n\nCtrl-C ends it.\n`);
};

interface Running {
  readonly parts: CommandParts;
  readonly config: UpConfig;
  readonly logs: LogConsole;
  readonly supervisor: NeuronSupervisor;
  /** Aborted when the user wants it to end. */
  readonly asked: AbortSignal;
}

/** From a neuron that listens to the user's wish to end. */
const serve = async ({ parts, config, logs, supervisor, asked }: Running): Promise<void> => {
  const { out } = parts;
  const { startGateway } = await import('@cortex/gateway');
  const port = Number(new URL(await supervisor.start()).port);
  const settings = await config.gateway(port);
  const { neuron_token: apiKey } = settings.cortex.gateway;
  const neuron: Endpoint = { url: config.neuronEndpoint(port), ...(apiKey === undefined ? {} : { apiKey }) };
  out.line(foundLines(await lookAtNeuron(neuron), out).join('\n'));
  const gateway = await startGateway(settings, { write: (line) => logs.write(line, 'gateway') });
  try {
    await showActivation(parts, neuron, asked);
    if (config.demo !== null) await demonstrate(parts, gateway, config.demo, asked);
    const { url, metricsUrl } = gateway;
    showWayOn(parts, { url, metricsUrl, neuronUrl: neuron.url, neuronPid: supervisor.pid }, config.demo);
    logs.open();
    if (!asked.aborted) await once(asked, 'abort');
  } finally {
    out.line('Ending; running requests may finish first. Ctrl-C again ends them at once.');
    await gateway.close();
  }
};

const run = async (parts: CommandParts, config: UpConfig): Promise<void> => {
  const { out } = parts;
  const { gatewayVersion } = await import('@cortex/gateway');
  await checkPorts(parts, config, await config.gateway(config.neuron.port));
  const asked = new AbortController();
  void parts.untilAskedToStop().then(() => asked.abort());
  const logs = new LogConsole(out);
  out.line(`${out.style('bold', 'cortex')} ${gatewayVersion().version} · Node ${process.version}`);
  const supervisor = new NeuronSupervisor(config.neuron, {
    onLog: (line) => logs.write(line, 'neuron'),
    onEvent: (event) => tellEvent(parts, event),
  });
  try {
    await serve({ parts, config, logs, supervisor, asked: asked.signal });
  } catch (thrown) {
    // Whatever a Ctrl-C broke off was to be broken off.
    if (!asked.signal.aborted) throw thrown;
  } finally {
    await supervisor.close();
  }
};

const up = async (parts: CommandParts, flags: UpFlags): Promise<void> => run(parts, await readUpConfig(flags, parts));

const portNumber = (text: string): number => {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError('expected a port, 0 to 65535');
};

const examples = `
Examples:
  cortex up                               models of the Hugging Face cache
  cortex up --model-dir ./models --load shapes-vl
  cortex up --host 0.0.0.0 --port 8080    for others in this network too

Without --config, ./cortex.toml is read if there is one, and ./neuron.toml
likewise. Models are loaded when they are first asked for, or at once with
--load. With no model on this machine the bundled one is shown (--no-demo: not).`;

export const upCommand = (parts: CommandParts): Command =>
  new Command('up')
    .description('Run a gateway and a neuron here; a neuron that dies is started again.')
    .addOption(repeatableOption('-m, --model-dir <dir>', 'look for models here too'))
    .addOption(repeatableOption('-l, --load <id>', 'load this model at start'))
    .option('--host <address>', 'the gateway listens here (default: 127.0.0.1, this machine alone)')
    .option('-p, --port <port>', 'the gateway (default: 31313)', portNumber)
    .option('--metrics-port <port>', 'its metrics (default: 31314)', portNumber)
    .option('--neuron-port <port>', 'the neuron (default: 13131)', portNumber)
    .option('-c, --config <file>', 'settings of the gateway (default: cortex.toml, if there is one)')
    .option('--neuron-config <file>', 'settings of the neuron (default: neuron.toml, if there is one)')
    .option('--demo', 'show what the bundled model does, whatever else is here')
    .option('--no-demo', 'never')
    .addHelpText('after', examples)
    .action((flags: UpFlags) => up(parts, flags));
