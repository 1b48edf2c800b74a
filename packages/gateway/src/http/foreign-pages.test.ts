import { describe, expect, it } from 'vitest';
import { refuseForeignChange, refuseRebound } from './foreign-pages.ts';

const json = { 'content-type': 'application/json', host: 'box:31313' };

describe('a change of the fleet', () => {
  it('is done for programs, which say nothing of where they stand', () => {
    expect(() => refuseForeignChange({ host: 'anything.example' })).not.toThrow();
  });

  it.each([
    { 'sec-fetch-site': 'same-origin', origin: 'http://box:31313' },
    { 'sec-fetch-site': 'none' },
    { origin: 'http://box:31313' },
    // A proxy in front may change Host, and browsers tell https sites how they stand to each other.
    { 'sec-fetch-site': 'same-origin', origin: 'https://cortex.example' },
  ])('is done for our own page: %j', (headers) => {
    expect(() => refuseForeignChange({ ...json, ...headers })).not.toThrow();
  });

  it.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: 'http://box:8080' },
    { origin: 'http://box:31313.evil.example' },
  ])('is refused to the page of another site: %j', (headers) => {
    expect(() => refuseForeignChange({ ...json, ...headers })).toThrow(/pages of other sites/);
  });

  it('is refused to a page that sends what needs no leave to be sent', () => {
    const own = { host: 'box', origin: 'http://box' };
    for (const type of [undefined, 'text/plain', 'application/json-not', 'text/plain; application/json'])
      expect(() => refuseForeignChange({ ...own, ...(type === undefined ? {} : { 'content-type': type }) })).toThrow(
        /content-type/,
      );
    expect(() => refuseForeignChange({ ...own, 'content-type': 'application/json; charset=utf-8' })).not.toThrow();
  });
});

const from = (host: string, known: readonly string[] = []) => refuseRebound({ host, 'sec-fetch-site': 'none' }, known);

describe('a browser without a key', () => {
  it.each(['127.0.0.1:31313', '[::1]:31313', '192.168.1.5', 'localhost:1', 'box', 'box.local:31313', 'a.home.arpa'])(
    'may call us %s',
    (host) => {
      expect(() => from(host)).not.toThrow();
    },
  );

  it.each(['evil.example', 'evil.example:31313', 'localhost.evil.example', '127.0.0.1.evil.example', 'xlocal.example'])(
    'may not call us %s',
    (host) => {
      expect(() => from(host)).toThrow(/browser_hosts/);
    },
  );

  it('may call us by a name that the settings know', () => {
    expect(() => from('Cortex.Example:443', ['cortex.example'])).not.toThrow();
    expect(() => from('a.cortex.example', ['cortex.example'])).toThrow(/browser_hosts/);
  });

  it('is what it says it is: programs may use any name', () => {
    expect(() => refuseRebound({ host: 'evil.example' }, [])).not.toThrow();
  });
});
