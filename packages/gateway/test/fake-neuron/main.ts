/**
 * `npx tsx --conditions=source packages/gateway/test/fake-neuron/main.ts --port 13131 --model a --model b,vram_mb=9000`
 *
 * Then, while it runs:
 *   curl localhost:13131/control
 *   curl localhost:13131/control/models -d '{"id":"a","first_token_ms":2000,"token_ms":50,"keepalive_ms":500}'
 *   curl localhost:13131/control/faults -d '{"kind":"reset_mid_stream","after_tokens":3}'
 *   curl localhost:13131/control/down -d '{"ms":5000}'
 */
import { parseArgs } from 'node:util';
import { FakeNeuron } from './fake-neuron.ts';
import { newModel, type FakeModel } from './settings.ts';

const usage = `fake-neuron [--port N] [--host H] [--name NAME] [--token TOKEN]
            [--device VRAM_MB]…                  devices; default one of 16000
            [--model ID[,KEY=VALUE]…]…           KEY as in /control/models: status, vram_mb, load_ms, token_ms, tokens,
                                                 first_token_ms, keepalive_ms, max_in_flight, context, capabilities=text+vision`;

const valueOf = (key: string, text: string): unknown => {
  if (key === 'capabilities') return text.split('+');
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
};

const modelFrom = (text: string): FakeModel => {
  const [id = '', ...changes] = text.split(',');
  const pairs = changes.map((change) => {
    const [key = '', ...value] = change.split('=');
    return [key, valueOf(key, value.join('='))] as const;
  });
  return newModel(id, Object.fromEntries(pairs));
};

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '13131' },
    host: { type: 'string', default: '127.0.0.1' },
    name: { type: 'string', default: 'fake' },
    token: { type: 'string' },
    device: { type: 'string', multiple: true, default: ['16000'] },
    model: { type: 'string', multiple: true, default: ['fake-model'] },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(usage);
else {
  const neuron = new FakeNeuron({
    port: Number(values.port),
    host: values.host,
    name: values.name,
    devices: values.device.map((mb) => ({ vram_total_mb: Number(mb) })),
    models: values.model.map(modelFrom),
    ...(values.token === undefined ? {} : { token: values.token }),
  });
  await neuron.start();
  console.log(`${neuron.name} listens on ${neuron.url}`);
}
