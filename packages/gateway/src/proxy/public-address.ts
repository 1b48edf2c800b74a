/**
 * Which IP addresses are on the public internet. Everything the IANA special-purpose registries set aside is not:
 * loopback, private and shared networks, link-local (cloud metadata among it), documentation, multicast, and the IPv6
 * ranges that carry an IPv4 address inside.
 */
import { BlockList, isIP } from 'node:net';

const notPublicV4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const;

/** Of IPv6 only 2000::/3 is given out at all; these parts of it are set aside. */
const notPublicV6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3ffe::', 16],
  ['3fff::', 20],
] as const;

const v4 = new BlockList();
for (const [net, prefix] of notPublicV4) v4.addSubnet(net, prefix, 'ipv4');
const v6 = new BlockList();
for (const [net, prefix] of notPublicV6) v6.addSubnet(net, prefix, 'ipv6');
const v6GivenOut = new BlockList();
v6GivenOut.addSubnet('2000::', 3, 'ipv6');

/** False also for what is no IP address. */
export const isPublicAddress = (address: string): boolean => {
  switch (isIP(address)) {
    case 4:
      return !v4.check(address, 'ipv4');
    case 6:
      return v6GivenOut.check(address, 'ipv6') && !v6.check(address, 'ipv6');
    default:
      return false;
  }
};
