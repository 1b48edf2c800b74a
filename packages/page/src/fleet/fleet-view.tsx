/** The fleet: figures in a row, loads under way, every node, every model. */
import type { FleetSnapshot } from '@cortex/core';
import { count, percent, rate, span } from '../format.ts';
import { Empty } from '../parts/empty.tsx';
import { fleet, watched } from '../state/store.ts';
import { decodeRate } from '../state/watched.ts';
import { ModelTable } from './model-table.tsx';
import { NodeCard } from './node-card.tsx';

const Figure = ({ name, value, of }: { readonly name: string; readonly value: string; readonly of?: string }) => (
  <div class="figure">
    <dt>{name}</dt>
    <dd>
      {value}
      {of === undefined ? null : <span class="of"> / {of}</span>}
    </dd>
  </div>
);

const Figures = ({ snapshot }: { readonly snapshot: FleetSnapshot }) => {
  const { nodes, models, queue } = snapshot;
  const { live } = watched.value;
  const own = models.filter((model) => model.alias_of === null);
  return (
    <dl class="figures">
      <Figure
        name="Nodes up"
        value={count(nodes.filter(({ reach }) => reach === 'up').length)}
        of={count(nodes.length)}
      />
      <Figure
        name="Models loaded"
        value={count(own.filter(({ state }) => state === 'loaded').length)}
        of={count(own.length)}
      />
      <Figure name="Running" value={count(live.total)} />
      <Figure name="Waiting" value={count(queue.waiting)} of={count(queue.max)} />
      <Figure name="Tokens a second" value={rate(decodeRate(live.requests))} />
    </dl>
  );
};

const Plans = ({ plans }: { readonly plans: FleetSnapshot['plans'] }) => (
  <ul class="plans">
    {plans.map(({ model, node, phase, evicting, fraction, eta_secs: etaSecs, elapsed_secs: elapsedSecs }) => (
      <li key={`${node} ${model}`} class="card plan">
        <strong>{model}</strong> on {node}: {phase}, {percent(fraction)}, for {span(elapsedSecs)}
        {etaSecs === null ? '' : `, about ${span(etaSecs)} left`}
        {evicting.length === 0 ? '' : `; in place of ${evicting.join(', ')}`}
      </li>
    ))}
  </ul>
);

export const FleetView = () => {
  const snapshot = fleet.value;
  if (snapshot === null) return <Empty text="Nothing is known of the fleet yet." />;
  return (
    <>
      <Figures snapshot={snapshot} />
      {snapshot.plans.length === 0 ? null : <Plans plans={snapshot.plans} />}
      <h2>Nodes</h2>
      {snapshot.nodes.length === 0 ? <Empty text="No node is configured: add [[neurons]] to cortex.toml." /> : null}
      <div class="nodes">
        {snapshot.nodes.map((node) => (
          <NodeCard key={node.name} node={node} />
        ))}
      </div>
      <h2>Models</h2>
      {snapshot.models.length === 0 ? (
        <Empty text="No node has a model. On one of them: cortex pull ORG/NAME." />
      ) : (
        <ModelTable models={snapshot.models} />
      )}
    </>
  );
};
