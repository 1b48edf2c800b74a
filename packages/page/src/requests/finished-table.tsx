/** What has ended, newest first: how, how fast, and where the time went. */
import type { FinishedRequest, RequestOutcome } from '@cortex/core';
import { clock, duration, rate } from '../format.ts';
import { Pill, type Tone } from '../parts/pill.tsx';
import { steadyRate, tokenText, whereItWent } from './request-texts.ts';

const columns = 9;

const tones: Readonly<Record<RequestOutcome, Tone>> = { done: 'good', error: 'bad', cancelled: 'calm' };

/** Across the whole table: in a column of names it would be a column of syllables. */
const Reason = ({ error }: { readonly error: NonNullable<FinishedRequest['error']> }) => (
  <tr class="because">
    <td colSpan={columns}>
      <p class="reason">
        <span class="mono">{error.code}</span> {error.message}
      </p>
    </td>
  </tr>
);

const Row = ({ request }: { readonly request: FinishedRequest }) => (
  <>
    <tr>
      <td data-label="Ended" class="num">
        {clock(request.ended_at)}
      </td>
      <th scope="row">
        <span class="model-id">{request.model ?? request.asked ?? '–'}</span>
        {request.cold_start ? <span class="tag">cold start</span> : null}
      </th>
      <td data-label="Outcome">
        <Pill tone={tones[request.outcome]}>{request.outcome}</Pill>
      </td>
      <td data-label="Node">{request.node ?? '–'}</td>
      <td data-label="Client">{request.client}</td>
      <td data-label="Tokens" class="num">
        {tokenText(request)}
      </td>
      <td data-label="First token" class="num" title={whereItWent(request)}>
        {duration(request.ttft_ms)}
      </td>
      <td data-label="Tok/s" class="num">
        {rate(steadyRate(request))}
      </td>
      <td data-label="Took" class="num" title={whereItWent(request)}>
        {duration(request.duration_ms)}
      </td>
    </tr>
    {request.error === null ? null : <Reason error={request.error} />}
  </>
);

export const FinishedTable = ({ requests }: { readonly requests: readonly FinishedRequest[] }) => (
  <table class="stacks" aria-label="Ended requests">
    <thead>
      <tr>
        <th scope="col" class="num">
          Ended
        </th>
        <th scope="col">Model</th>
        <th scope="col">Outcome</th>
        <th scope="col">Node</th>
        <th scope="col">Client</th>
        <th scope="col" class="num">
          Tokens
        </th>
        <th scope="col" class="num">
          First token
        </th>
        <th scope="col" class="num">
          Tok/s
        </th>
        <th scope="col" class="num">
          Took
        </th>
      </tr>
    </thead>
    <tbody>
      {requests.map((request) => (
        <Row key={`${request.id} ${request.ended_at}`} request={request} />
      ))}
    </tbody>
  </table>
);
