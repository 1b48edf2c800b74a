/** Functions and the choice among them, as chat has them. Other kinds of tools are left out. */
import type { ResponsesTool, ResponsesToolChoice, Tool, ToolChoice } from '@cortex/core';

const toChatTools = (tools: readonly ResponsesTool[] | null | undefined): Tool[] =>
  (tools ?? []).flatMap((tool): Tool[] => {
    if (tool.type === 'ignored') return [];
    const { name, description, parameters, strict } = tool;
    return [
      {
        type: 'function',
        function: {
          name,
          ...(typeof description === 'string' ? { description } : {}),
          ...(parameters === null || parameters === undefined ? {} : { parameters }),
          ...(typeof strict === 'boolean' ? { strict } : {}),
        },
      },
    ];
  });

export interface ChatTooling {
  readonly tools?: Tool[];
  readonly tool_choice?: ToolChoice;
}

const narrowed = (tools: Tool[], choice: ResponsesToolChoice | null | undefined): ChatTooling => {
  if (choice === null || choice === undefined) return { tools };
  if (typeof choice === 'string') return { tools, tool_choice: choice };
  switch (choice.type) {
    case 'function': {
      const { name } = choice;
      // Forcing a function that was not offered would fail; without it the model can still answer in words.
      const offered = tools.some((tool) => tool.function.name === name);
      return offered ? { tools, tool_choice: { type: 'function', function: { name } } } : { tools };
    }
    case 'allowed_tools': {
      const names = new Set(choice.tools.map((tool) => (tool.type === 'function' ? tool.name : null)));
      const allowed = tools.filter((tool) => names.has(tool.function.name));
      return allowed.length === 0 ? {} : { tools: allowed, tool_choice: choice.mode };
    }
    case 'ignored':
      break;
  }
  return { tools };
};

/** Empty when no function is left: a choice without tools is an error in chat. */
export const toTooling = (
  offered: readonly ResponsesTool[] | null | undefined,
  choice: ResponsesToolChoice | null | undefined,
  parallel: boolean | null | undefined,
): ChatTooling & { readonly parallel_tool_calls?: boolean } => {
  const tools = toChatTools(offered);
  const tooling = tools.length === 0 ? {} : narrowed(tools, choice);
  if (tooling.tools === undefined || typeof parallel !== 'boolean') return tooling;
  return { ...tooling, parallel_tool_calls: parallel };
};
