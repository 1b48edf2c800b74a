/** What goes into the request beside the conversation. Empty fields are left out of it. */
import { parameters } from './chat.ts';
import type { Parameters } from './conversation.ts';

const set = (change: Partial<Parameters>): void => {
  parameters.value = { ...parameters.value, ...change };
};

export const ParameterPanel = () => {
  const { system, temperature, maxTokens, tools } = parameters.value;
  return (
    <div class="parameters">
      <label>
        System prompt
        <textarea rows={3} value={system} onInput={(event) => set({ system: event.currentTarget.value })} />
      </label>
      <div class="row">
        <label class="grow">
          Temperature
          <input
            type="number"
            min={0}
            max={2}
            step={0.1}
            placeholder="model’s own"
            value={temperature}
            onInput={(event) => set({ temperature: event.currentTarget.value })}
          />
        </label>
        <label class="grow">
          Most tokens
          <input
            type="number"
            min={1}
            step={1}
            placeholder="up to the limit"
            value={maxTokens}
            onInput={(event) => set({ maxTokens: event.currentTarget.value })}
          />
        </label>
      </div>
      <label>
        Tools <span class="sub">a JSON list, as the API takes it</span>
        <textarea
          rows={3}
          class="mono"
          spellcheck={false}
          placeholder='[{ "type": "function", "function": { "name": "…" } }]'
          value={tools}
          onInput={(event) => set({ tools: event.currentTarget.value })}
        />
      </label>
    </div>
  );
};
