/** Tools and the choice among them, as chat has them. Tools that only Anthropic can run are left out. */
import type { AnthropicTool, AnthropicToolChoice, Tool, ToolChoice } from '@cortex/core';

const toChatTools = (tools: readonly AnthropicTool[] | null | undefined): Tool[] =>
  (tools ?? []).flatMap((tool): Tool[] =>
    tool.type === 'ignored'
      ? []
      : [
          {
            type: 'function',
            function: {
              name: tool.name,
              ...(typeof tool.description === 'string' ? { description: tool.description } : {}),
              parameters: tool.input_schema,
              ...(typeof tool.strict === 'boolean' ? { strict: tool.strict } : {}),
            },
          },
        ],
  );

const toToolChoice = (choice: AnthropicToolChoice | null | undefined, tools: readonly Tool[]): ToolChoice | null => {
  switch (choice?.type) {
    case 'auto':
    case 'none':
      return choice.type;
    case 'any':
      return 'required';
    case 'tool': {
      const { name } = choice;
      // Forcing a tool that was left out would fail; without it the model can still answer in words.
      return tools.some((tool) => tool.function.name === name) ? { type: 'function', function: { name } } : null;
    }
    case 'ignored':
    case undefined:
      break;
  }
  return null;
};

export interface ChatTooling {
  readonly tools?: Tool[];
  readonly tool_choice?: ToolChoice;
  readonly parallel_tool_calls?: boolean;
}

/** Empty when no tool is left: a choice without tools is an error in chat. */
export const toTooling = (
  offered: readonly AnthropicTool[] | null | undefined,
  choice: AnthropicToolChoice | null | undefined,
): ChatTooling => {
  const tools = toChatTools(offered);
  if (tools.length === 0) return {};
  const chosen = toToolChoice(choice, tools);
  const single =
    choice !== null &&
    choice !== undefined &&
    'disable_parallel_tool_use' in choice &&
    choice.disable_parallel_tool_use === true;
  return {
    tools,
    ...(chosen === null ? {} : { tool_choice: chosen }),
    ...(single ? { parallel_tool_calls: false } : {}),
  };
};
