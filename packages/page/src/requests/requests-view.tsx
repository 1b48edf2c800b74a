/** Requests: how fast they were, those that run, those that have ended. */
import { computed } from '@preact/signals';
import { duration, rate } from '../format.ts';
import { Empty } from '../parts/empty.tsx';
import { seriesOf } from '../state/series.ts';
import { watched } from '../state/store.ts';
import { FinishedTable } from './finished-table.tsx';
import { LiveTable } from './live-table.tsx';
import { Plot } from './plot.tsx';
import { steadyRate } from './request-texts.ts';

const finished = computed(() => watched.value.finished);
const firstTokens = computed(() => seriesOf(finished.value, (request) => request.ttft_ms));
const rates = computed(() => seriesOf(finished.value, steadyRate));

export const RequestsView = () => {
  const { total, requests } = watched.value.live;
  return (
    <>
      <div class="plots">
        <Plot title="Time to first token" unit="of streams" series={firstTokens.value} format={duration} />
        <Plot title="Decoding" unit="tokens a second, of streams" series={rates.value} format={rate} />
      </div>
      <h2>
        Running <span class="sub">{total > requests.length ? `${requests.length} of ${total}` : total}</span>
      </h2>
      {requests.length === 0 ? <Empty text="Nothing is running." /> : <LiveTable requests={requests} />}
      <h2>
        Ended <span class="sub">the last {finished.value.length}</span>
      </h2>
      {finished.value.length === 0 ? (
        <Empty text="No request has ended yet." />
      ) : (
        <FinishedTable requests={finished.value} />
      )}
    </>
  );
};
