/** One node: how it is, its devices, and the models that are on it or on their way. */
import type { NodeSnapshot } from '@cortex/core';
import { count, percent, rate, span } from '../format.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { Pill, type Tone } from '../parts/pill.tsx';
import { MemoryBar, ModelSwatch } from './memory-bar.tsx';

type NodeModel = NodeSnapshot['models'][number];

const drained = (nRunning: number): string =>
  nRunning === 0 ? 'Nothing runs there: it can be stopped.' : `Still running there: ${count(nRunning)}.`;

const stateOf = (node: NodeSnapshot): { readonly tone: Tone; readonly word: string; readonly why: string | null } => {
  if (node.reach === 'down') return { tone: 'bad', word: 'down', why: node.down_reason };
  if (node.reach === 'unknown') return { tone: 'calm', word: 'not seen yet', why: null };
  if (node.circuit !== 'closed')
    return { tone: 'bad', word: 'failing', why: 'Requests failed in a row; it is tried again from time to time.' };
  if (node.reach === 'silent')
    return { tone: 'warn', word: 'silent', why: 'Its last look is not answered yet: nothing new goes there before.' };
  if (node.draining) return { tone: 'warn', word: 'draining', why: drained(node.in_flight) };
  return { tone: 'good', word: 'up', why: null };
};

const tones: Readonly<Record<NodeModel['status'], Tone>> = {
  loaded: 'good',
  loading: 'busy',
  unloading: 'busy',
  available: 'calm',
  failed: 'bad',
};

const isHere = ({ status }: NodeModel): boolean => status !== 'available';

/** Such as `layers: 20 on device 0, 8 on the host`. */
const layersText = (layers: NodeModel['layers']): string => {
  const parts = layers.filter((part) => part.layers > 0);
  return `layers: ${parts.map(({ device, layers: n }) => `${n} on ${device === null ? 'the host' : `device ${device}`}`).join(', ')}`;
};

const Progress = ({ fraction, label }: { readonly fraction: number; readonly label: string }) => (
  <progress value={fraction} max={1} aria-label={label}>
    {percent(fraction)}
  </progress>
);

const ModelRow = ({ node, model }: { readonly node: string; readonly model: NodeModel }) => {
  const { id, status, progress, pinned } = model;
  const nRunning = model.in_flight + model.foreign_in_flight;
  return (
    <li class="model-row">
      <div class="model-line">
        <ModelSwatch model={id} />
        <span class="model-id" title={id}>
          {id}
        </span>
        <Pill tone={tones[status]}>{status}</Pill>
        {pinned ? <Pill tone="calm">pinned</Pill> : null}
        {status === 'loaded' ? (
          <span class="row end grow">
            <ActionButton
              path="api/models/pin"
              body={{ model_id: id, node, pinned: !pinned }}
              label={pinned ? 'Unpin' : 'Pin'}
              describe={
                pinned ? `Unpin ${id} from ${node}: it may be evicted` : `Pin ${id} to ${node}: it is not evicted`
              }
              done={pinned ? `${id} may be evicted from ${node}.` : `${id} stays on ${node}.`}
            />
            <ActionButton
              path="api/models/unload"
              body={{ model_id: id, node, mode: 'wait' }}
              label="Unload"
              describe={`Unload ${id} from ${node} once its requests have ended`}
              done={`${id} is unloaded from ${node}.`}
            />
          </span>
        ) : null}
      </div>
      {status === 'loaded' ? (
        <div class="model-facts">
          <span>
            {nRunning} of {model.max_in_flight} running
          </span>
          {model.tok_s_decode === null ? null : <span>{rate(model.tok_s_decode)} tok/s</span>}
          <span>{model.idle_secs === null || nRunning > 0 ? 'in use' : `idle ${span(model.idle_secs)}`}</span>
          {model.layers.length === 0 ? null : <span>{layersText(model.layers)}</span>}
          {model.closing_for === null || model.closing_for === id ? null : (
            <span>makes room for {model.closing_for}</span>
          )}
        </div>
      ) : null}
      {status === 'loading' ? (
        <div class="model-facts">
          <Progress fraction={progress?.fraction ?? 0} label={`Loading ${id}`} />
          <span>
            {progress?.phase ?? 'starting'}
            {progress?.eta_secs == null ? '' : `, about ${span(progress.eta_secs)} left`}
          </span>
        </div>
      ) : null}
      {model.reason === null ? null : <p class="reason">{model.reason}</p>}
    </li>
  );
};

export const NodeCard = ({ node }: { readonly node: NodeSnapshot }) => {
  const { tone, word, why } = stateOf(node);
  const here = node.models.filter(isHere);
  const path = `api/nodes/${encodeURIComponent(node.name)}/${node.draining ? 'undrain' : 'drain'}`;
  return (
    <article class="card node" aria-labelledby={`node-${node.name}`}>
      <header>
        <h3 id={`node-${node.name}`}>{node.name}</h3>
        <Pill tone={tone}>{word}</Pill>
        {node.kind === 'upstream' ? <span class="tag">upstream</span> : null}
        {node.defrag_due ? (
          <Pill
            tone="warn"
            title={`${node.cycles} models were unloaded since its start: its memory may be fragmented.`}
          >
            restart due
          </Pill>
        ) : null}
        <span class="row end grow">
          <ActionButton
            path={path}
            body={{}}
            label={node.draining ? 'Undrain' : 'Drain'}
            describe={
              node.draining
                ? `Undrain ${node.name}: it gets requests again`
                : `Drain ${node.name}: no new requests go there`
            }
            done={node.draining ? `${node.name} is in service.` : `${node.name} gets no new requests.`}
          />
        </span>
      </header>
      <p class="sub">
        {node.hostname === null || node.hostname === node.name ? '' : `${node.hostname} · `}
        <span class="mono">{node.endpoint}</span>
        {node.uptime_secs === null ? '' : ` · up ${span(node.uptime_secs)}`}
      </p>
      {why === null ? null : <p class={tone === 'bad' ? 'reason' : 'sub'}>{why}</p>}
      {node.broken_groups.map(({ devices, reason }) => (
        <p class="reason" key={devices.join('+')}>
          Devices {devices.join(', ')} cannot be used together until this node is restarted: {reason}
        </p>
      ))}
      {node.devices.map((device) => (
        <MemoryBar key={device.index} device={device} models={node.models} />
      ))}
      {here.length === 0 ? <p class="sub">No model is loaded here.</p> : null}
      <ul class="model-rows">
        {here.map((model) => (
          <ModelRow key={model.id} node={node.name} model={model} />
        ))}
      </ul>
    </article>
  );
};
