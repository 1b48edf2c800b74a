/**
 * JSON Schema string formats, each as a regular expression for text that is certainly valid: where a standard allows
 * more than a pattern can say (leap seconds, quoted mailboxes), what is generated stays inside it.
 */

const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const ipv4 = `${octet}(\\.${octet}){3}`;

const group = '[0-9a-fA-F]{1,4}';
const compressed = Array.from({ length: 7 }, (_, nBefore) => {
  const before = nBefore === 0 ? '' : `${group}(:${group}){${nBefore - 1}}`;
  const nAfterMax = 6 - nBefore;
  const after = nAfterMax <= 0 ? '' : `(${group}(:${group}){0,${nAfterMax - 1}})?`;
  return `${before}::${after}`;
});
const ipv6 = `(${group}(:${group}){7}|${compressed.join('|')})`;

// Narrow enough for 63 octets, and told apart from its neighbours without guessing, so that its automaton is small.
const label = '[a-zA-Z0-9]{1,20}(-[a-zA-Z0-9]{1,20}){0,1}';
const hostname = `${label}(\\.${label}){0,4}`;

const leapYear = '(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)';
const date = [
  '(\\d{4}-(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])',
  '\\d{4}-(0[469]|11)-(0[1-9]|[12]\\d|30)',
  '\\d{4}-02-(0[1-9]|1\\d|2[0-8])',
  `${leapYear}-02-29)`,
].join('|');
const hourMinute = '([01]\\d|2[0-3]):[0-5]\\d';
const time = `${hourMinute}:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]${hourMinute})`;

const n = '\\d{1,9}';
const clock = `T(${n}H(${n}M(${n}S)?)?|${n}M(${n}S)?|${n}S)`;
const calendar = `(${n}D|${n}M(${n}D)?|${n}Y(${n}M(${n}D)?)?)`;
const duration = `P(${n}W|${calendar}(${clock})?|${clock})`;

const mailboxWord = '[A-Za-z0-9_+-]{1,20}';
const email = `${mailboxWord}(\\.${mailboxWord}){0,2}@${label}(\\.${label}){0,3}\\.[A-Za-z]{2,12}`;

const percentEncoded = '%[0-9A-Fa-f]{2}';
const pathCharacter = `([A-Za-z0-9._~!$&'()*+,;=:@-]|${percentEncoded})`;
const queryCharacter = `([A-Za-z0-9._~!$&'()*+,;=:@/?-]|${percentEncoded})`;
const uri = `(https?|wss?|ftp)://${hostname}(:\\d{1,4})?(/${pathCharacter}*)*(\\?${queryCharacter}*)?(#${queryCharacter}*)?`;

const hex = '[0-9a-fA-F]';
const uuid = `${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{12}`;

/** Anchored patterns by format name. */
export const stringFormats: ReadonlyMap<string, string> = new Map(
  Object.entries({
    date,
    time,
    'date-time': `(${date})T${time}`,
    duration,
    email,
    hostname,
    ipv4,
    ipv6,
    uri,
    uuid,
  }).map(([name, pattern]) => [name, `^(${pattern})$`]),
);

/** Formats OpenAPI uses as remarks on a type: they constrain no text. */
export const remarkFormats: ReadonlySet<string> = new Set([
  'binary',
  'byte',
  'double',
  'float',
  'int32',
  'int64',
  'password',
  'uint32',
  'uint64',
]);
