/** `cortex chat`: a conversation in a terminal, or one question out of a pipe, an argument, or both. */
import { text as readAll } from 'node:stream/consumers';
import { ConfigError, CortexError, type ContentPart } from '@cortex/core';
import { Command, InvalidArgumentError } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { GatewayApi } from '../api/gateway-api.ts';
import { imagePart } from '../api/image-part.ts';
import { AnswerWriter } from '../chat/answer-writer.ts';
import { ChatSession, figuresText } from '../chat/chat-session.ts';
import { Conversation, type ChatSettings } from '../chat/conversation.ts';
import { isPrompt, noSuchModel, pickModel, type Listed } from '../chat/pick-model.ts';
import type { CommandParts } from '../command-parts.ts';
import { exampleModel } from '../example-model.ts';
import { repeatableOption } from '../repeatable-option.ts';

interface ChatOptions extends ClientOptions {
  readonly image?: readonly string[];
  readonly system?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly think: boolean;
  readonly verbose?: true;
}

const numberBetween =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== '' && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a number from ${min} to ${max}`);
  };

const askOnce = async (
  parts: CommandParts,
  conversation: Conversation,
  text: string,
  images: readonly ContentPart[],
  verbose: boolean,
): Promise<void> => {
  const { out, err } = parts;
  const figures = await conversation.ask(text, images, new AnswerWriter(out, err), parts.interruption());
  if (figures.finish === 'length') err.line('(cut off: the limit of tokens)');
  if (verbose) err.line(figuresText(figures));
};

const settingsOf = (model: string, options: ChatOptions): ChatSettings => {
  const { system, temperature, maxTokens, think } = options;
  return {
    model,
    think,
    ...(system === undefined ? {} : { system }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
};

/** Before anything is typed for it. A word that was meant as a prompt comes here as the name of a model. */
const checkModel = async (gateway: GatewayApi, models: readonly Listed[], model: string): Promise<void> => {
  if (models.some(({ id }) => id === model) || (await gateway.hasModel(model))) return;
  throw new CortexError(
    'model_not_found',
    `${noSuchModel(models, model)}\nA prompt of one word needs a model before it.`,
  );
};

/** @param given the arguments: a model's name first, unless that is a prompt already */
const chat = async (parts: CommandParts, given: readonly string[], options: ChatOptions): Promise<void> => {
  const gateway = gatewayOf(options, parts.env);
  const images = await Promise.all((options.image ?? []).map((file) => imagePart(file, parts.homeDir)));
  const models = await gateway.models();
  const [first] = given;
  const asked = first === undefined || isPrompt(models, first) ? undefined : first;
  const words = asked === undefined ? given : given.slice(1);
  const model = pickModel(models, asked);
  await checkModel(gateway, models, model);
  const conversation = new Conversation(gateway, settingsOf(model, options));
  const verbose = options.verbose === true;
  if (parts.stdin.isTTY && words.length === 0) {
    if (!parts.stdout.isTTY) throw new ConfigError(['nothing to ask: give a prompt, or pipe one in']);
    return new ChatSession(parts, conversation, { model: conversation.model, images, verbose }).run();
  }
  const piped = parts.stdin.isTTY ? '' : (await readAll(parts.stdin)).trim();
  const text = [words.join(' '), piped].filter((part) => part !== '').join('\n\n');
  if (text === '') throw new ConfigError(['nothing to ask: the prompt is empty']);
  return askOnce(parts, conversation, text, images, verbose);
};

const examples = `
Examples:
  cortex chat
  cortex chat --image picture.png "What is in this image?"
  git diff | cortex chat ${exampleModel} "Write a commit message" > message

In a terminal, Ctrl-C stops an answer and a second one ends the chat; /help
lists its commands.`;

export const chatCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('chat'))
    .description('Talk to a model. A prompt may also come from a pipe; into a pipe goes the answer alone.')
    .argument('[model]', 'default: the one that is loaded')
    .argument('[prompt...]', 'ask this and end')
    .addOption(repeatableOption('-i, --image <file>', 'show it a picture'))
    .option('--system <text>', 'a system message')
    .option('--temperature <number>', '0 always takes the likeliest word', numberBetween(0, 10))
    .option('--max-tokens <count>', 'longest answer', numberBetween(1, 10_000_000))
    .option('--no-think', 'ask it not to reason')
    .option('-v, --verbose', 'show tokens and speed under each answer')
    .addHelpText('after', examples)
    .action((model: string | undefined, words: readonly string[], options: ChatOptions) =>
      chat(parts, model === undefined ? words : [model, ...words], options),
    );
