/** What is being answered now, and how far each is. */
import type { LiveRequest, RequestPhase } from '@cortex/core';
import { count, duration, rate } from '../format.ts';
import { Pill, type Tone } from '../parts/pill.tsx';
import { waitText } from './request-texts.ts';

const tones: Readonly<Record<RequestPhase, Tone>> = {
  queued: 'warn',
  loading: 'busy',
  prefill: 'busy',
  decoding: 'good',
  running: 'good',
};

const steps: readonly RequestPhase[] = ['queued', 'loading', 'prefill', 'decoding'];

const Steps = ({ phase }: { readonly phase: RequestPhase }) => {
  const reached = phase === 'running' ? steps.length : steps.indexOf(phase) + 1;
  return (
    <span class="steps" aria-hidden="true">
      {steps.map((step, i) => (
        <span key={step} class={i < reached ? 'reached' : ''} title={step} />
      ))}
    </span>
  );
};

const Row = ({ request }: { readonly request: LiveRequest }) => (
  <tr>
    <td data-label="Phase">
      <Steps phase={request.phase} />
      <Pill tone={tones[request.phase]}>{request.phase}</Pill> <span class="sub">{waitText(request)}</span>
    </td>
    <th scope="row">
      <span class="model-id">{request.model ?? request.asked ?? '–'}</span>
    </th>
    <td data-label="Node">{request.node ?? '–'}</td>
    <td data-label="Client">{request.client}</td>
    <td data-label="Protocol">{request.dialect}</td>
    <td data-label="For" class="num">
      {duration(request.elapsed_ms)}
    </td>
    <td data-label="First token" class="num">
      {duration(request.ttft_ms)}
    </td>
    <td data-label="Tokens" class="num">
      {count(request.completion_tokens)}
    </td>
    <td data-label="Tok/s" class="num">
      {rate(request.tok_s)}
    </td>
  </tr>
);

export const LiveTable = ({ requests }: { readonly requests: readonly LiveRequest[] }) => (
  <table class="stacks" aria-label="Running requests">
    <thead>
      <tr>
        <th scope="col">Phase</th>
        <th scope="col">Model</th>
        <th scope="col">Node</th>
        <th scope="col">Client</th>
        <th scope="col">Protocol</th>
        <th scope="col" class="num">
          For
        </th>
        <th scope="col" class="num">
          First token
        </th>
        <th scope="col" class="num">
          Tokens
        </th>
        <th scope="col" class="num">
          Tok/s
        </th>
      </tr>
    </thead>
    <tbody>
      {requests.map((request) => (
        <Row key={request.id} request={request} />
      ))}
    </tbody>
  </table>
);
