/** Why each request went where it went: the node chosen, the nodes rejected, and what was evicted for it. */
import { useState } from 'preact/hooks';
import type { RouteExplanation, RoutingDecision } from '@cortex/core';
import { clock, duration } from '../format.ts';
import { Empty } from '../parts/empty.tsx';
import { Pill, type Tone } from '../parts/pill.tsx';
import { watched } from '../state/store.ts';

const outcomes: Readonly<Record<RoutingDecision['outcome'], Tone>> = {
  granted: 'good',
  refused: 'bad',
  cancelled: 'calm',
};

const verdicts: Readonly<Record<RouteExplanation['candidates'][number]['verdict'], Tone>> = {
  chosen: 'good',
  eligible: 'calm',
  rejected: 'bad',
};

const actions: Readonly<Record<RouteExplanation['action'], string>> = {
  forward: 'sent to a node that has it loaded',
  load: 'loaded first',
  evict_and_load: 'loaded first, in place of others',
  wait: 'had to wait',
  refuse: 'refused',
};

const Candidates = ({ explanation }: { readonly explanation: RouteExplanation }) => (
  <>
    <p class="sub">Decided at once: {actions[explanation.action]}.</p>
    {explanation.evictions.map(({ node, model, reason }) => (
      <p key={`${node} ${model}`} class="sub">
        Evicts {model} from {node}: {reason}
      </p>
    ))}
    <ul class="candidates">
      {explanation.candidates.map(({ node, verdict, reason }) => (
        <li key={node}>
          <Pill tone={verdicts[verdict]}>{verdict}</Pill>
          <span class="mono">{node}</span>
          <span>{reason}</span>
        </li>
      ))}
    </ul>
  </>
);

const nameOf = ({ asked, model }: RoutingDecision): string =>
  model === null || model === asked ? asked : `${asked} → ${model}`;

/** What spoke for the node that got it. */
const whyChosen = ({ explanation, node }: RoutingDecision): string =>
  explanation?.candidates.find((candidate) => candidate.node === node)?.reason ?? '';

const waits = ({ queue_ms: queueMs, load_ms: loadMs }: RoutingDecision): string =>
  [queueMs >= 1 ? `queued ${duration(queueMs)}` : '', loadMs >= 1 ? `loaded in ${duration(loadMs)}` : '']
    .filter((part) => part !== '')
    .join(', ');

const Decision = ({ decision, open }: { readonly decision: RoutingDecision; readonly open: boolean }) => {
  const { explanation, error, attempt, outcome, node } = decision;
  return (
    <li>
      <details class="card decision" open={open}>
        <summary>
          <span class="num sub">{clock(decision.at)}</span>
          <span class="model-id">{nameOf(decision)}</span>
          <Pill tone={outcomes[outcome]}>{node === null ? outcome : `→ ${node}`}</Pill>
          {attempt > 1 ? <span class="tag">attempt {attempt}</span> : null}
          {decision.cold_start ? <span class="tag">cold start</span> : null}
          <span class="sub">{waits(decision)}</span>
          <span class="sub why">{whyChosen(decision)}</span>
          <span class="sub end grow">{decision.client}</span>
        </summary>
        {error === null ? null : (
          <p class="reason">
            <span class="mono">{error.code}</span> {error.message}
          </p>
        )}
        {explanation === null ? (
          <p class="sub">Too many decisions were taken at that moment to word this one.</p>
        ) : (
          <Candidates explanation={explanation} />
        )}
      </details>
    </li>
  );
};

export const RoutingView = () => {
  const [text, search] = useState('');
  const wanted = text.trim().toLowerCase();
  const all = watched.value.decisions;
  const shown = all.filter(({ asked, model, node, client }) =>
    [asked, model ?? '', node ?? '', client].some((one) => one.toLowerCase().includes(wanted)),
  );
  return (
    <>
      <div class="row bar">
        <label class="grow">
          <span class="unseen">Search decisions</span>
          <input
            type="search"
            placeholder="model, node or client"
            value={text}
            onInput={(event) => search(event.currentTarget.value)}
          />
        </label>
        <span class="sub">{shown.length} decisions, newest first</span>
      </div>
      {shown.length === 0 ? <Empty text="No request has been routed yet." /> : null}
      <ol class="decisions">
        {shown.map((decision, i) => (
          <Decision
            key={`${decision.request_id} ${decision.attempt} ${decision.at}`}
            decision={decision}
            open={i === 0}
          />
        ))}
      </ol>
    </>
  );
};
