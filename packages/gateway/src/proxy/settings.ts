/** What the proxy takes from `cortex.toml`, in the units it works with. */
import type { CortexConfig } from '@cortex/core';

export interface ProxySettings {
  readonly connectTimeoutMs: number;
  readonly firstTokenTimeoutMs: number;
  readonly tokenGapTimeoutMs: number;
  readonly answerTimeoutMs: number;
  readonly attemptsMax: number;
  readonly connectionsPerNode: number;
  readonly keepaliveMs: number;
  /** Of answers that are not streamed; 0: never. */
  readonly wholeKeepaliveMs: number;
}

export const proxySettings = (config: CortexConfig): ProxySettings => {
  const { proxy, gateway } = config;
  return {
    connectTimeoutMs: proxy.connect_timeout_secs * 1000,
    firstTokenTimeoutMs: proxy.first_token_timeout_secs * 1000,
    tokenGapTimeoutMs: proxy.token_gap_timeout_secs * 1000,
    answerTimeoutMs: proxy.answer_timeout_secs * 1000,
    attemptsMax: proxy.attempts_max,
    connectionsPerNode: proxy.connections_per_node,
    keepaliveMs: gateway.keepalive_secs * 1000,
    wholeKeepaliveMs: gateway.whole_keepalive_secs * 1000,
  };
};
