/** An option that may be given several times: its value is the list of all, or undefined where it was not given. */
import { Option } from 'commander';

const collect = (value: string, earlier: readonly string[] = []): readonly string[] => [...earlier, value];

export const repeatableOption = (flags: string, description: string): Option =>
  new Option(flags, `${description} (repeatable)`).argParser(collect);
