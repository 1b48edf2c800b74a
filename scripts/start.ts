/**
 * `npm start`: a neuron with the bundled model on this machine alone, asked one question about a picture so that what
 * it does is seen. Runs the built program, and ends with it.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const model = 'shapes-vl';
const picture = `models/${model}/samples/shapes-1-224x224.png`;
const question = "What's in this image?";

interface Answer {
  readonly choices: readonly [{ readonly message: { readonly content: string } }];
}

const neuron = spawn(
  process.execPath,
  ['packages/cli/dist/neuron.js', 'serve', '--model-dir', 'models', '--load', model],
  {
    cwd: root,
    env: { NEURON_HOST: '127.0.0.1', NEURON_LOG_LEVEL: 'warn', ...process.env },
    stdio: ['ignore', 'inherit', 'pipe'],
  },
);

/** The address, from what the neuron prints when its port answers. */
const listening = new Promise<string>((resolve) => {
  let text = '';
  neuron.stderr.on('data', (chunk) => {
    process.stderr.write(chunk);
    text += String(chunk);
    const url = /listening on (http\S+)\s/.exec(text)?.[1];
    if (url !== undefined) resolve(url);
  });
});

const ask = async (url: string): Promise<string> => {
  const image = `data:image/png;base64,${readFileSync(path.join(root, picture)).toString('base64')}`;
  const content = [
    { type: 'text', text: question },
    { type: 'image_url', image_url: { url: image } },
  ];
  // A request for a model that is still being loaded waits for it.
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, temperature: 0, messages: [{ role: 'user', content }] }),
  });
  if (!response.ok) throw new Error(await response.text());
  return ((await response.json()) as Answer).choices[0].message.content;
};

const curl = (url: string): string => `curl ${url}/v1/chat/completions -H 'content-type: application/json' -d @- <<EOF
{ "model": "${model}", "temperature": 0, "messages": [{ "role": "user", "content": [
  { "type": "text", "text": "${question}" },
  { "type": "image_url", "image_url": { "url": "data:image/png;base64,$(base64 < ${picture} | tr -d '\\n')" } }
] }] }
EOF`;

// A terminal sends its Ctrl-C to both; the neuron lets running requests end.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => neuron.kill('SIGTERM'));
process.on('exit', () => neuron.kill('SIGTERM'));
neuron.on('exit', (code) => process.exit(code ?? 1));

const url = await listening;
console.log(`\n${picture}\n> ${question}\n${await ask(url)}\n\nAsk it yourself, from this folder:\n\n${curl(url)}\n`);
