/** `cortex models`: what can be asked for. */
import type { CatalogueModel } from '@cortex/core';
import { Command } from 'commander';
import { gatewayOf, withClientOptions, type ClientOptions } from '../api/client-options.ts';
import type { CommandParts } from '../command-parts.ts';
import { oneLine } from '../terminal/plain-text.ts';
import { percentText, tokensText } from '../terminal/quantities.ts';
import { tableLines } from '../terminal/table.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { exampleModel } from '../example-model.ts';

interface ModelsOptions extends ClientOptions {
  readonly json?: true;
}

const stateText = (model: CatalogueModel, { style }: Pick<Terminal, 'style'>): string => {
  if (model.alias_of !== null) return style('dim', `= ${oneLine(model.alias_of)}`);
  if (model.state === 'loaded') return style('green', 'loaded');
  if (model.state === 'available') return 'on disk';
  return style('yellow', model.progress === null ? 'loading' : `loading ${percentText(model.progress.fraction)}`);
};

const takes = (model: CatalogueModel): string =>
  [
    ...model.capabilities,
    ...(model.tool_call === true ? ['tools'] : []),
    ...(model.reasoning === true ? ['reasoning'] : []),
  ]
    .map(oneLine)
    .join(', ');

const columns = [
  { title: 'MODEL' },
  { title: 'STATE' },
  { title: 'CONTEXT', align: 'right' },
  { title: 'TAKES' },
  { title: 'NODES' },
] as const;

/** The head and a line for each model. */
const modelTable = (models: readonly CatalogueModel[], paint: Pick<Terminal, 'style'>): readonly string[] =>
  tableLines(
    columns,
    models.map((model) => [
      oneLine(model.id),
      stateText(model, paint),
      model.limit === null ? '' : tokensText(model.limit.context),
      takes(model),
      model.nodes.map(({ name }) => oneLine(name)).join(', '),
    ]),
  );

const models = async (parts: CommandParts, options: ModelsOptions): Promise<void> => {
  const { out, err } = parts;
  const listed = (await gatewayOf(options, parts.env).fleet()).models;
  if (options.json === true) return out.line(JSON.stringify(listed, null, 2));
  if (listed.length > 0) return out.line(modelTable(listed, out).join('\n'));
  return err.line(`No node has a model. Fetch one with: cortex pull ${exampleModel}`);
};

export const modelsCommand = (parts: CommandParts): Command =>
  withClientOptions(new Command('models'))
    .description('List the models that can be asked for, loaded ones first.')
    .option('--json', 'as JSON')
    .addHelpText('after', "\nExamples:\n  cortex models\n  cortex models --json | jq -r '.[].id'")
    .action((options: ModelsOptions) => models(parts, options));
