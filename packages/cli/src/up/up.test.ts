import { execFileSync } from 'node:child_process';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { recordedTerminal } from '../../test/recorded-terminal.ts';
import { curlExample } from './curl-example.ts';
import { LogConsole } from './log-console.ts';
import { isUrgent, logLineText } from './log-line.ts';
import { restartAfter } from './restart-delay.ts';
import { takenPorts, whoAnswers } from './taken-ports.ts';

const paint = recordedTerminal(false);

const line = (fields: object): string => JSON.stringify({ level: 30, time: 0, pid: 1, hostname: 'h', ...fields });

describe('a process that dies', () => {
  it('is started again after a pause that doubles up to a limit', () => {
    let deaths = 0;
    const pauses = Array.from({ length: 9 }, () => {
      const restart = restartAfter(deaths, 100);
      ({ deaths } = restart);
      return restart.delayMs;
    });
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('having run for long begins anew', () => {
    expect(restartAfter(7, 60_000)).toEqual({ deaths: 1, delayMs: 500 });
  });
});

describe('a line of the log', () => {
  it('tells a request in one line', () => {
    const request = {
      msg: 'request',
      method: 'POST',
      route: '/v1/messages',
      status: 200,
      model: 'm',
      promptTokens: 41,
      completionTokens: 14,
      ttftMs: 212.3,
      durationMs: 2345.6,
      coldStart: true,
    };
    expect(logLineText(line(request), 'gateway', paint)?.slice(8)).toBe(
      '  POST /v1/messages  200  m  41 + 14 tokens  loaded for it  first after 212 ms  2.3 s',
    );
    const failed = { ...request, status: 503, code: 'no_healthy_node', reason: 'none is up' };
    expect(logLineText(line(failed), 'gateway', paint)).toMatch(/ {2}no_healthy_node: none is up$/);
  });

  it('of the neuron is shown from a warning on, and the gateway tells the rest', () => {
    expect(logLineText(line({ msg: 'request' }), 'neuron', paint)).toBeNull();
    expect(logLineText(line({ msg: 'listening' }), 'gateway', paint)).toBeNull();
    const warning = line({ level: 50, msg: 'device out of service', device: 0, reason: 'a\u001B[2Jb' });
    expect(logLineText(warning, 'neuron', paint)?.slice(8)).toBe(
      '  error device out of service  device=0 reason=a[2Jb',
    );
    expect([isUrgent(warning), isUrgent(line({ msg: 'x' })), isUrgent('not JSON')]).toEqual([true, false, false]);
    expect(logLineText('not JSON', 'neuron', paint)).toBe('neuron: not JSON');
  });
});

describe('the command to paste', () => {
  it('says to curl what it means, whatever is in the question and the path', () => {
    const question = `What's "in" this $HOME \`id\` picture? \\ ä`;
    const text = curlExample({ url: 'http://h:1', model: 'm', question, picture: "/tmp/it's $x.png", cwd: '/work' });
    const shell = `base64() { printf 'QUJD\\nREVG\\n'; }; curl() { cat; }; : > "/tmp/it's \\$x.png"; ${text}`;
    const body = JSON.parse(execFileSync('bash', ['-c', shell], { encoding: 'utf8' })) as {
      messages: [{ content: [{ text: string }, { image_url: { url: string } }] }];
    };
    const [{ content }] = body.messages;
    expect(content[0].text).toBe(question);
    expect(content[1].image_url.url).toBe('data:image/png;base64,QUJDREVG');
  });

  it('names a picture below this folder from here', () => {
    const given = { url: 'http://h:1', model: 'm', question: 'q', cwd: '/work' };
    expect(curlExample({ ...given, picture: '/work/a/b.png' })).toContain('base64 < a/b.png |');
    expect(curlExample({ ...given, picture: '/else/b.png' })).toContain('base64 < /else/b.png |');
  });
});

describe('a taken port', () => {
  it('is told with who has it and the flag for another; a free one is not', async () => {
    const stranger = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', () => resolve()));
    const { port } = stranger.address() as AddressInfo;
    const host = '127.0.0.1';
    expect(await takenPorts([{ host, port, flag: '--port' }])).toEqual([
      expect.stringMatching(`^port ${port} is taken: something else listens there. .* --port \\d+$`),
    ]);
    await new Promise((resolve) => stranger.close(resolve));
    expect(
      await takenPorts([
        { host, port, flag: '--port' },
        { host, port: 0, flag: '--port' },
      ]),
    ).toEqual([]);
  });

  it('is not called a stranger’s when a neuron has it that answers only with its token', async () => {
    const refusal = '{"error":{"code":"invalid_api_key","message":"this neuron wants a token"}}';
    const neuron = createHttpServer((_, response) => response.writeHead(401).end(refusal));
    await new Promise<void>((resolve) => neuron.listen(0, '127.0.0.1', () => resolve()));
    const { port } = neuron.address() as AddressInfo;
    const who = await whoAnswers('127.0.0.1', port);
    neuron.close();
    expect(who).toBe('program that wants a token');
  });
});

describe('the logs before the address is told', () => {
  it('are warnings alone, in the place of a line that is drawn again and again', () => {
    const terminal = recordedTerminal(true, { NO_COLOR: '1' });
    const logs = new LogConsole(terminal);
    terminal.write('loading  10 %');
    logs.write('{"level":30,"time":0,"msg":"of no interest yet"}', 'neuron');
    logs.write('{"level":50,"time":0,"msg":"a device failed"}', 'neuron');
    const [before, after] = terminal.text().split('\r\u001B[K');
    expect(before).toBe('loading  10 %');
    expect(after).toMatch(/^\d\d:\d\d:\d\d {2}error .*a device failed\n$/);
    logs.open();
    logs.write('{"level":50,"time":0,"msg":"another"}', 'neuron');
    expect(terminal.text().split('\r')).toHaveLength(2);
  });
});
