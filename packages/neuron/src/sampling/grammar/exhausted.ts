/** Marks the end of a switch whose cases are all listed: a case forgotten is a type error at the call. */
export function exhausted(value: never): never {
  throw new TypeError(`not a case: ${JSON.stringify(value)}`);
}
