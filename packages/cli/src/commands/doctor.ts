/** `cortex doctor`: what is well here, what is not, and what to do about each. */
import { readdir } from 'node:fs/promises';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { engineFindings } from '../doctor/engine-findings.ts';
import { findingLines, type Finding } from '../doctor/finding.ts';
import { nodeFinding, portFindings, readSettings, storeFinding, type ReadSettings } from '../doctor/host-findings.ts';
import { gatewayFindings, neuronFindings } from '../doctor/node-findings.ts';
import { probeCommandName, probeInProcess } from '../doctor/probe-process.ts';
import { Ended, exitCodes } from '../run-command.ts';
import { counted } from '../terminal/quantities.ts';
import { localUrl } from '../up/up-config.ts';

interface DoctorOptions extends ClientOptions {
  readonly config?: string;
  readonly json?: true;
}

const hasRenderNode = async (): Promise<boolean> =>
  (await readdir('/dev/dri').catch(() => [])).some((name) => name.startsWith('renderD'));

const engine = async (program: string): Promise<readonly Finding[]> => {
  const { enginePackages, GpuMonitor } = await import('@cortex/neuron');
  const [result, gpus, render] = await Promise.all([
    probeInProcess(program),
    new GpuMonitor().refresh(),
    hasRenderNode(),
  ]);
  return engineFindings({ packages: enginePackages(), result, gpus, hasRenderNode: render });
};

/** Of the settings: where their gateway would answer. */
const ownUrl = ({ gateway }: ReadSettings): { url?: string } => {
  if (gateway === null) return {};
  const { host, port } = gateway.cortex.gateway.listen;
  return { url: localUrl(host, port) };
};

const examine = async (parts: CommandParts, options: DoctorOptions): Promise<readonly Finding[]> => {
  const settings = await readSettings(options.config, parts);
  const wasNamed = options.url !== undefined || (parts.env['CORTEX_URL'] ?? '') !== '';
  return [
    nodeFinding(process.version),
    ...(await engine(parts.program)),
    ...settings.findings,
    ...(settings.neuron === null ? [] : [await storeFinding(settings.neuron, parts)]),
    ...(await portFindings(settings)),
    ...(settings.gateway === null ? [] : await neuronFindings(settings.gateway)),
    ...(await gatewayFindings(
      gatewayOf(wasNamed ? options : { ...options, ...ownUrl(settings) }, parts.env),
      wasNamed,
    )),
  ];
};

const doctor = async (parts: CommandParts, options: DoctorOptions): Promise<void> => {
  const { out } = parts;
  const findings = await examine(parts, options);
  const nBroken = findings.filter(({ level }) => level === 'broken').length;
  if (options.json === true) out.line(JSON.stringify({ broken: nBroken, findings }, null, 2));
  else {
    out.line(findingLines(findings, out).join('\n'));
    out.line(nBroken === 0 ? '\nNothing is broken.' : `\n${counted(nBroken, 'thing')} to mend.`);
  }
  if (nBroken > 0) throw new Ended(exitCodes.failed);
};

const examples = `
Examples:
  cortex doctor
  cortex doctor --config /etc/cortex/cortex.toml --json

Exit code 1 when something is broken; a warning is none.`;

export const doctorCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('doctor'))
    .description('Examine this machine: Node, ggml and devices, driver, settings, ports, neurons; with remedies.')
    .option('-c, --config <file>', 'settings of the gateway (default: cortex.toml, if there is one)')
    .option('--json', 'as JSON')
    .addHelpText('after', examples)
    .action((options: DoctorOptions) => doctor(parts, options));

/** For the doctor itself: native code is loaded in a process that it may take down. */
export const probeCommand = ({ out }: CommandParts): Command =>
  new Command(probeCommandName).action(async () => {
    const { probeEngine } = await import('@cortex/neuron');
    out.line(JSON.stringify(probeEngine()));
  });
