/**
 * What a request demands of its answer's form, as a constraint for the sampler.
 *
 * A required or named tool comes first: such an answer is a call, and `response_format` has nothing to say in it. Where
 * the model is free to call or to answer (`auto`, with tools) nothing is constrained, since a grammar of the answer
 * alone would bar every call.
 */
import { CortexError, type ChatRequest, type Tool } from '@cortex/core';
import type { TemplateFacts } from '../chat/template.ts';
import type { ConstraintSpec } from '../sampling/grammar/spec.ts';

type ConstraintFields = Pick<ChatRequest, 'tools' | 'tool_choice' | 'response_format' | 'parallel_tool_calls'>;

const refuse = (code: 'invalid_request' | 'unsupported_parameter', param: string, message: string): CortexError =>
  new CortexError(code, message, { param });

/** The tools on offer: none when `tool_choice` is `none`. */
export const offeredTools = (request: ConstraintFields): readonly Tool[] =>
  request.tool_choice === 'none' ? [] : (request.tools ?? []);

/** A named tool is called once. */
export const allowsParallelCalls = ({
  tool_choice: choice,
  parallel_tool_calls: parallel,
}: ConstraintFields): boolean => parallel !== false && typeof choice !== 'object';

/** @throws CortexError `unsupported_parameter` where there are tools for a model whose template has no place for them. */
const toolFormat = (tools: readonly Tool[], template: TemplateFacts | null): 'xml' | 'json' | null => {
  if (tools.length === 0) return null;
  if (template?.tools === true && template.toolCallFormat !== null) return template.toolCallFormat;
  throw refuse('unsupported_parameter', 'tools', 'this model cannot call tools: its chat template has none');
};

const answerSpec = (
  format: ChatRequest['response_format'],
  startAfter: readonly number[] | null,
): ConstraintSpec | null => {
  if (format === null || format === undefined || format.type === 'text') return null;
  const schema = format.type === 'json_schema' ? (format.json_schema.schema ?? null) : null;
  return schema === null ? { kind: 'json_object', startAfter } : { kind: 'json_schema', schema, startAfter };
};

/**
 * @param startAfter ids before which the model thinks, unconstrained; null: the answer begins at once
 * @throws CortexError `invalid_request`, `unsupported_parameter`
 */
export const constraintOf = (
  request: ConstraintFields,
  template: TemplateFacts | null,
  startAfter: readonly number[] | null,
): ConstraintSpec | null => {
  const { tool_choice: choice } = request;
  const tools = offeredTools(request);
  const format = toolFormat(tools, template);
  const demanded = choice === 'required' || typeof choice === 'object' ? choice : null;
  if (demanded === null) return format === null ? answerSpec(request.response_format, startAfter) : null;
  if (format === null)
    throw refuse('invalid_request', 'tool_choice', 'tool_choice demands a call, but there are no tools');
  const name = typeof demanded === 'object' ? demanded.function.name : null;
  if (name !== null && !tools.some((tool) => tool.function.name === name)) {
    throw refuse('invalid_request', 'tool_choice', `tool_choice names ${JSON.stringify(name)}, which is not in tools`);
  }
  return {
    kind: 'tool_call',
    format,
    tools: tools.map((tool) => ({ name: tool.function.name, parameters: tool.function.parameters ?? null })),
    choice: name === null ? 'required' : { name },
    parallel: allowsParallelCalls(request),
    startAfter,
  };
};
