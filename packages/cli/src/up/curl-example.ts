/** A command to paste into a shell that asks about a picture. Pure. */
import { nearPath } from './near-path.ts';

interface Example {
  readonly url: string;
  readonly model: string;
  readonly question: string;
  readonly picture: string;
  /** The folder of the shell it is pasted into. */
  readonly cwd: string;
}

/** A word of the POSIX shell. */
const shellWord = (text: string): string =>
  /^[\w./@:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Inside a here-document, where the shell still reads `$`, backticks and backslashes. */
const jsonInHereDocument = (value: string): string => JSON.stringify(value).replaceAll(/[\\$`]/g, String.raw`\$&`);

/** The picture is read when it is pasted: as base64 it would fill the screen. */
export const curlExample = ({ url, model, question, picture, cwd }: Example): string => {
  const file = shellWord(nearPath(picture, cwd));
  return `curl ${url}/v1/chat/completions -H 'content-type: application/json' -d @- <<EOF
{ "model": ${jsonInHereDocument(model)}, "temperature": 0, "messages": [{ "role": "user", "content": [
  { "type": "text", "text": ${jsonInHereDocument(question)} },
  { "type": "image_url", "image_url": { "url": "data:image/png;base64,$(base64 < ${file} | tr -d '\\n')" } }
] }] }
EOF`;
};
