/**
 * For tests: ggml's Vulkan backend on Mesa's software driver, as two devices of one machine without a GPU. Import it
 * before anything else opens the libraries; each test file is a process of its own.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { openLibrary } from '@cortex/ggml';

const peers = fileURLToPath(new URL('../../../tools/peers/node_modules', import.meta.url));
const packageName = `@node-llama-cpp/${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}-vulkan`;

export interface VulkanDevices {
  /** In ggml's registry. */
  readonly vulkanIndices: readonly number[];
  readonly cpuIndex: number;
  /** Why there are none, as the name of a skipped test; null when there are. */
  readonly missing: string | null;
}

const isInstalled = (): boolean =>
  existsSync(`${peers}/${packageName}`) ||
  (createRequire(import.meta.url).resolve.paths(packageName) ?? []).some((root) =>
    existsSync(`${root}/${packageName}`),
  );

export const openVulkan = (): VulkanDevices => {
  const none = { vulkanIndices: [], cpuIndex: 0 };
  if (!isInstalled()) return { ...none, missing: `${packageName} is not installed: npm ci --prefix tools/peers` };
  // The driver shows a software device, and shows it twice, only when asked for by number.
  process.env['GGML_VK_VISIBLE_DEVICES'] ??= '0,0';
  const { devices } = openLibrary({ packageRoots: [peers] });
  const vulkanIndices = devices.filter(({ backend }) => backend === 'vulkan').map(({ index }) => index);
  const cpuIndex = devices.find(({ type }) => type === 'cpu')?.index ?? 0;
  const missing = vulkanIndices.length > 0 ? null : 'no Vulkan driver: apt-get install mesa-vulkan-drivers';
  return { vulkanIndices, cpuIndex, missing };
};
