/** What happened, newest first. */
import { useState } from 'preact/hooks';
import { DataTable } from './DataTable.tsx';
import { Moment } from './Moment.tsx';
import { store } from './state.ts';
import type { EventRow } from './types.ts';
import { words } from './words.ts';

export function Events() {
  const events = store.events.value;
  const [filter, setFilter] = useState('');
  const wanted = filter.toLowerCase();
  const shown = (events ?? []).filter((event) => textOf(event).includes(wanted));
  return (
    <>
      <h1>{words.events.heading}</h1>
      <div class="table-tools">
        <div>
          <label for="event-filter">{words.events.filter}</label>
          <input
            id="event-filter"
            data-testid="event-filter"
            type="search"
            autocomplete="off"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        </div>
      </div>
      {shown.length === 0 ? (
        <p class="notice">{events === null ? words.health.unknown : words.events.none}</p>
      ) : (
        <DataTable
          testId="events"
          label={words.events.heading}
          columns={[words.events.time, words.events.kind, words.events.run, words.events.detail]}
        >
          {shown.map((event) => (
            <tr key={event.id}>
              <th scope="row">
                <Moment at_ms={event.at_ms} />
              </th>
              <td>{event.kind.replaceAll('_', ' ')}</td>
              <td>{event.run ?? words.none}</td>
              <td class="detail">{detailOf(event)}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </>
  );
}

function textOf(event: EventRow): string {
  return `${event.kind.replaceAll('_', ' ')} ${event.run ?? ''} ${detailOf(event)}`.toLowerCase();
}

/** The detail's fields as `name: value`. */
function detailOf({ detail }: EventRow): string {
  if (detail === null) return '';
  if (typeof detail !== 'object') return String(detail);
  return Object.entries(detail)
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(', ');
}
