/** Everything that can be asked for: where it is, what it takes, and a way to load it. */
import { useState } from 'preact/hooks';
import type { CatalogueModel } from '@cortex/core';
import { percent, tokens } from '../format.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { Pill, type Tone } from '../parts/pill.tsx';

const tones: Readonly<Record<CatalogueModel['state'], Tone>> = { loaded: 'good', loading: 'busy', available: 'calm' };

const Load = ({ model }: { readonly model: CatalogueModel }) => {
  const [chosen, choose] = useState('');
  const places = model.nodes.filter(({ state }) => state === 'available').map(({ name }) => name);
  const node = places.includes(chosen) ? chosen : '';
  if (places.length === 0) return null;
  const where = node === '' ? 'where it fits best' : `on ${node}`;
  return (
    <span class="row end">
      {places.length < 2 ? null : (
        <select
          class="small"
          aria-label={`Node for ${model.id}`}
          value={node}
          onChange={(event) => choose(event.currentTarget.value)}
        >
          <option value="">best node</option>
          {places.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      )}
      <ActionButton
        path="api/models/load"
        body={{ model_id: model.id, ...(node === '' ? {} : { node }) }}
        label="Load"
        describe={`Load ${model.id} ${where}`}
        done={`${model.id} is loaded.`}
      />
    </span>
  );
};

const Row = ({ model }: { readonly model: CatalogueModel }) => {
  const { id, alias_of: aliasOf, state, capabilities, limit, nodes, progress } = model;
  return (
    <tr>
      <th scope="row">
        <span class="model-id">{id}</span>
        {aliasOf === null ? null : <span class="sub"> → {aliasOf}</span>}
      </th>
      <td data-label="State">
        <Pill tone={tones[state]}>{state}</Pill>
        {progress === null ? null : ` ${percent(progress.fraction)}`}
      </td>
      <td data-label="Takes">
        {capabilities.map((capability) => (
          <span key={capability} class="tag">
            {capability}
          </span>
        ))}
        {model.tool_call === true ? <span class="tag">tools</span> : null}
        {model.reasoning === true ? <span class="tag">reasoning</span> : null}
      </td>
      <td data-label="Context" class="num">
        {limit === null ? '–' : tokens(limit.context)}
      </td>
      <td data-label="Nodes">{nodes.map(({ name }) => name).join(', ')}</td>
      <td class="actions">{aliasOf === null ? <Load model={model} /> : null}</td>
    </tr>
  );
};

export const ModelTable = ({ models }: { readonly models: readonly CatalogueModel[] }) => (
  <table class="stacks">
    <thead>
      <tr>
        <th scope="col">Model</th>
        <th scope="col">State</th>
        <th scope="col">Takes</th>
        <th scope="col" class="num">
          Context
        </th>
        <th scope="col">Nodes</th>
        <th scope="col">
          <span class="unseen">Actions</span>
        </th>
      </tr>
    </thead>
    <tbody>
      {models.map((model) => (
        <Row key={model.id} model={model} />
      ))}
    </tbody>
  </table>
);
