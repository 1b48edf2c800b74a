/** The gateway as a process of its own, with its log on standard output, until SIGTERM. `serve.ts CORTEX_TOML` */
import { readGatewayConfig, startGateway } from '@cortex/gateway';

const [file = 'cortex.toml'] = process.argv.slice(2);
const gateway = await startGateway(await readGatewayConfig({ file, env: {} }));
process.once('SIGTERM', () => void gateway.close());
console.error(gateway.startup);
