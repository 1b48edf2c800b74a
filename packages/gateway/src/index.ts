/** What other packages may use of the gateway: reading its config and running it. */
export { gatewayVersion, startGateway, type Gateway } from './main.ts';
export { readGatewayConfig, type GatewayConfig, type GatewayConfigSource } from './read-config.ts';
