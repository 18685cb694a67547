/** Who may not work here, and how somebody is kept out. */
import type { Ask } from './Confirm.tsx';
import { Act, DataTable } from './DataTable.tsx';
import { Moment } from './Moment.tsx';
import { More } from './More.tsx';
import { periodOf, periods } from './periods.ts';
import { store } from './state.ts';
import type { BanRow, WorkerRow } from './types.ts';
import { words } from './words.ts';

/** The server refuses longer ones. */
const REASON_MAX = 150;

/** Asks why and for how long, and bans. */
export function askForBan(ask: Ask, { worker_id, identity }: WorkerRow): void {
  const { confirm } = words;
  ask({
    title: confirm.ban(worker_id),
    body: confirm.banBody,
    confirm: confirm.banDo,
    fields: [
      { key: 'reason', label: confirm.banReason, maxLength: REASON_MAX },
      { key: 'lasts', label: confirm.banLasts, options: periods(words.bans.endless) },
    ],
    act: ({ reason = '', lasts = '' }) => store.ban(identity, reason, periodOf(lasts)),
  });
}

export function Bans({ ask }: { ask: Ask }) {
  const page = store.bans.value;
  return (
    <section>
      <h2 id="bans-heading">{words.bans.heading}</h2>
      {page === null || page.rows.length === 0 ? (
        <p class="description" data-testid="bans-none">
          {page === null ? words.health.unknown : words.bans.none}
        </p>
      ) : (
        <DataTable
          testId="bans"
          labelledBy="bans-heading"
          columns={[words.bans.identity, words.bans.reason, words.bans.since, words.bans.until]}
          hasActs
        >
          {page.rows.map((ban) => (
            <Row key={ban.identity} ban={ban} ask={ask} />
          ))}
        </DataTable>
      )}
      {page !== null && <More list="bans" shown={page.rows.length} goesOn={page.next !== null} />}
    </section>
  );
}

function Row({ ban, ask }: { ban: BanRow; ask: Ask }) {
  const { confirm } = words;
  const short = ban.identity.slice(0, 16);
  const unban = (): void =>
    ask({
      title: confirm.unban(short),
      body: confirm.unbanBody,
      confirm: confirm.unbanDo,
      act: () => store.unban(ban.identity),
    });
  return (
    <tr>
      <th scope="row" class="digest" title={ban.identity}>
        {short}
      </th>
      <td class="detail">{ban.reason}</td>
      <td>
        <Moment at_ms={ban.banned_ms} />
      </td>
      <td>
        {ban.until_ms === null ? words.bans.endless : <Moment at_ms={ban.until_ms} />}
        {!ban.holds && ` (${words.bans.over})`}
      </td>
      <td class="row-actions">
        <Act testId={`unban-${short}`} label={words.bans.unban} to={short} onClick={unban} />
      </td>
    </tr>
  );
}
