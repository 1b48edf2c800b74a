/** Requests of the shape that two agents were seen to send, shortened. */
import { describe, expect, it } from 'vitest';
import { askedOf } from '../../test/translate/run-dialect.ts';
import { messagesDialect } from './messages/dialect.ts';
import { responsesDialect } from './responses/dialect.ts';

describe('a first request of Claude Code', () => {
  it('is a chat whose prompt holds all of its text and nothing that changes by itself', () => {
    const cached = { cache_control: { type: 'ephemeral' } };
    const asked = askedOf(messagesDialect, {
      model: 'claude-opus-4-8',
      max_tokens: 32_000,
      stream: true,
      thinking: { type: 'adaptive' },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      output_config: { effort: 'high' },
      metadata: { user_id: '{"device_id":"d","session_id":"s"}' },
      system: [
        { type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1.0.abc; cc_entrypoint=cli;' },
        { type: 'text', text: 'You are an agent.', ...cached },
        { type: 'text', text: '\nUse the tools.', ...cached },
      ],
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: '<context/>\n' },
            { type: 'text', text: 'Say hello', ...cached },
          ],
        },
        { role: 'system', content: 'The date is known.' },
      ],
      tools: [{ name: 'Bash', description: 'Runs.', input_schema: { type: 'object', properties: {} } }],
    });
    expect(asked).toEqual({
      model: 'claude-opus-4-8',
      max_tokens: 32_000,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      chat_template_kwargs: { enable_thinking: true },
      metadata: { 'x-anthropic-billing-header': 'cc_version=2.1.0.abc; cc_entrypoint=cli;' },
      messages: [
        {
          role: 'system',
          content: [
            { type: 'text', text: 'You are an agent.' },
            { type: 'text', text: '\nUse the tools.' },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'text', text: '<context/>\n' },
            { type: 'text', text: 'Say hello' },
          ],
        },
        { role: 'system', content: 'The date is known.' },
      ],
      tools: [
        {
          type: 'function',
          function: { name: 'Bash', description: 'Runs.', parameters: { type: 'object', properties: {} } },
        },
      ],
    });
  });
});

const message = (role: string, text: string): object => ({
  type: 'message',
  role,
  content: [{ type: 'input_text', text }],
});

describe('a first request of Codex', () => {
  it('is a chat with one system turn and the functions among its tools', () => {
    const shell = {
      type: 'function',
      name: 'shell',
      description: 'Runs.',
      strict: false,
      parameters: { type: 'object' },
    };
    const asked = askedOf(responsesDialect, {
      model: 'gpt-5.6',
      instructions: 'Be an agent.',
      stream: true,
      input: [message('developer', 'Rules.'), message('developer', 'More rules.'), message('user', 'Say hello')],
      tools: [shell, { type: 'namespace', name: 'n', description: '', tools: [shell] }, { type: 'web_search' }],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      reasoning: { summary: 'auto' },
      store: false,
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: 'k',
      client_metadata: { a: 'b' },
    });
    expect(asked).toEqual({
      model: 'gpt-5.6',
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
      chat_template_kwargs: { enable_thinking: true },
      messages: [
        { role: 'system', content: 'Be an agent.\n\nRules.\n\nMore rules.' },
        { role: 'user', content: 'Say hello' },
      ],
      tools: [
        {
          type: 'function',
          function: { name: 'shell', description: 'Runs.', parameters: { type: 'object' }, strict: false },
        },
      ],
      tool_choice: 'auto',
      parallel_tool_calls: true,
    });
  });
});
