/** What to do about an NVIDIA driver that does not work, from what `nvidia-smi` said of it. Pure. */

interface Remedy {
  readonly says: RegExp;
  readonly remedy: string;
}

/** The first that matches counts. */
const remedies: readonly Remedy[] = [
  {
    says: /driver\/library version mismatch/i,
    remedy:
      'the driver was updated under a running kernel module: reboot, or stop what uses the GPUs and reload nvidia',
  },
  {
    says: /couldn't communicate with the nvidia driver|driver not loaded/i,
    remedy:
      'the kernel module is not loaded: "modprobe nvidia" says why; after a kernel update the driver must be built anew',
  },
  {
    says: /initialize nvml: unknown error/i,
    remedy: 'in a container this means that the devices were taken away: restart the container',
  },
  {
    says: /insufficient permissions/i,
    remedy: 'this user may not open /dev/nvidia*: add it to the group that owns them',
  },
  {
    says: /gpu is lost|fallen off the bus|unable to determine the device handle/i,
    remedy: 'a card no longer answers: look for "Xid" in dmesg, check power and cooling, and reboot',
  },
  {
    says: /no devices were found|found no gpu/i,
    remedy: 'the driver runs and accepts no card: dmesg tells whether it is too old for the card or the card failed',
  },
  {
    says: /libnvidia-ml/i,
    remedy:
      "the driver's libraries are missing: in a container, give it the GPUs (--gpus all); else reinstall the driver",
  },
  {
    says: /did not answer within|no longer answers/i,
    remedy: 'the driver hangs: dmesg tells why; a reboot ends it',
  },
];

/** The reason with its remedy behind a semicolon, where one is known. */
export const withRemedy = (reason: string): string => {
  const known = remedies.find(({ says }) => says.test(reason));
  return known === undefined ? reason : `${reason}; ${known.remedy}`;
};

/**
 * Why there is no `nvidia-smi`: no card at all, or a card without its driver.
 * @param pciIds of the NVIDIA display controllers that the kernel sees.
 */
export const missingDriver = (pciIds: readonly string[]): string =>
  pciIds.length === 0
    ? 'nvidia-smi is not installed, and no NVIDIA card is on the PCI bus'
    : `nvidia-smi is not installed, though an NVIDIA card is there (${pciIds.join(', ')}); ` +
      'install the NVIDIA driver, or in a container give it the GPUs (--gpus all)';
