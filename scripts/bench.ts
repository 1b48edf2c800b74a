/** `npm run bench NAME`: measurements that the claims in this repository rest on. */

const benches = {
  ahead: async (args: readonly string[]) => (await import('./bench-ahead.ts')).run(args),
  devices: async (args: readonly string[]) => (await import('./bench-devices.ts')).run(args),
  engine: async () => (await import('./bench-engine.ts')).run(),
  gateway: async () => (await import('./bench-gateway.ts')).run(),
  llama: async (args: readonly string[]) => (await import('./bench-llama.ts')).run(args),
  quant: async (args: readonly string[]) => (await import('./bench-quant.ts')).run(args),
  serving: async (args: readonly string[]) => (await import('./bench-serving.ts')).run(args),
  routing: async () => {
    const { routingCosts } = await import('../packages/gateway/test/fleet/routing-bench.ts');
    console.table(routingCosts());
  },
} as const satisfies Record<string, (args: readonly string[]) => Promise<unknown>>;

const [name, ...args] = process.argv.slice(2);
const bench = Object.entries(benches).find(([known]) => known === name)?.[1];
if (bench === undefined) {
  console.error(`usage: npm run bench ${Object.keys(benches).join(' | ')}`);
  process.exitCode = 2;
} else await bench(args);
