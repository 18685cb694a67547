/** Tokens of the admin listener: issued, listed, revoked. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Confirm, type Ask, type Question } from './Confirm.tsx';
import { Act, DataTable } from './DataTable.tsx';
import { Moment } from './Moment.tsx';
import { More } from './More.tsx';
import { periodOf, periods } from './periods.ts';
import { Pick } from './Pick.tsx';
import { store } from './state.ts';
import { SCOPES, type IssuedToken, type Scope, type TokenRow } from './types.ts';
import { words } from './words.ts';

/** The server refuses longer ones. */
const LABEL_MAX = 100;

export function Tokens() {
  const page = store.tokens.value;
  const [question, setQuestion] = useState<Question | null>(null);
  const [issued, setIssued] = useState<IssuedToken | null>(null);
  return (
    <>
      <h1>{words.tokens.heading}</h1>
      <p class="description">{words.tokens.intro}</p>
      <Issue done={setIssued} />
      <p class="problem" role="alert" data-testid="problem">
        {store.problem.value}
      </p>
      {issued !== null && <Secret issued={issued} close={() => setIssued(null)} />}
      {page === null ? (
        <p class="notice">{store.refusal.value === null ? words.health.unknown : words.tokens.unread}</p>
      ) : page.rows.length === 0 ? (
        <p class="notice">{words.tokens.none}</p>
      ) : (
        <List tokens={page.rows} ask={setQuestion} />
      )}
      {page !== null && <More list="tokens" shown={page.rows.length} goesOn={page.next !== null} />}
      <Confirm question={question} close={() => setQuestion(null)} />
    </>
  );
}

function Issue({ done }: { done(issued: IssuedToken): void }) {
  const [label, setLabel] = useState('');
  const [scope, setScope] = useState<Scope>('read');
  const [period, setPeriod] = useState('30d');
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const issued = await store.issue(label.trim(), scope, periodOf(period));
    if (issued === null) return;
    setLabel('');
    done(issued);
  };
  return (
    <form class="inline-form" aria-labelledby="issue-heading" onSubmit={(event) => void submit(event)}>
      <h2 id="issue-heading">{words.tokens.issue}</h2>
      <div class="field grows">
        <label for="token-label">{words.tokens.label}</label>
        <input
          id="token-label"
          data-testid="token-label"
          type="text"
          required
          pattern=".*\S.*"
          maxLength={LABEL_MAX}
          autocomplete="off"
          value={label}
          onInput={(event) => setLabel(event.currentTarget.value)}
        />
      </div>
      <Pick
        id="token-scope"
        label={words.tokens.scope}
        value={scope}
        options={SCOPES.map((one) => [one, one])}
        describedBy="token-scope-help"
        set={(value) => setScope(value as Scope)}
      />
      <Pick
        id="token-expires"
        label={words.tokens.expires}
        value={period}
        options={periods(words.tokens.never)}
        set={setPeriod}
      />
      <button type="submit" class="button primary" data-testid="issue">
        {words.tokens.issueDo}
      </button>
      <p class="fine" id="token-scope-help">
        {words.tokens.scopes[scope]}
      </p>
    </form>
  );
}

/** The token itself, for as long as it is not put away. */
function Secret({ issued, close }: { issued: IssuedToken; close(): void }) {
  const box = useRef<HTMLElement>(null);
  const [copied, setCopied] = useState<boolean | null>(null);
  useEffect(() => {
    setCopied(null);
    box.current?.focus();
  }, [issued]);
  const copy = async (): Promise<void> => {
    const went = await navigator.clipboard?.writeText(issued.token).then(
      () => true,
      () => false,
    );
    setCopied(went ?? false);
  };
  return (
    <section class="secret" ref={box} tabIndex={-1} aria-labelledby="secret-heading">
      <h2 id="secret-heading">{words.tokens.secret(issued.label)}</h2>
      <p>{words.tokens.once}</p>
      <code data-testid="secret">{issued.token}</code>
      <div class="run-verbs">
        <button type="button" class="button plain" data-testid="copy-secret" onClick={() => void copy()}>
          {words.tokens.copy}
        </button>
        <button type="button" class="button plain" data-testid="close-secret" onClick={close}>
          {words.tokens.close}
        </button>
      </div>
      <p class="fine" role="status" data-testid="copied">
        {copied === null ? '' : copied ? words.tokens.copied : words.tokens.notCopied}
      </p>
    </section>
  );
}

function List({ tokens, ask }: { tokens: TokenRow[]; ask: Ask }) {
  const { columns } = words.tokens;
  return (
    <DataTable
      testId="tokens"
      label={words.tokens.heading}
      columns={[columns.label, columns.scope, columns.state, columns.created, columns.expires]}
      hasActs
    >
      {tokens.map((token) => (
        <Row key={token.id} token={token} ask={ask} />
      ))}
    </DataTable>
  );
}

function Row({ token, ask }: { token: TokenRow; ask: Ask }) {
  const { confirm } = words;
  const revoke = (): void =>
    ask({
      title: confirm.revoke(token.label),
      body: confirm.revokeBody,
      confirm: confirm.revokeDo,
      act: () => store.revoke(token.id),
    });
  return (
    <tr data-testid={`token-${token.id}`}>
      <th scope="row" class="wraps">
        {token.label}
      </th>
      <td>{token.scope ?? token.kind}</td>
      <td>{words.tokens.states[token.state]}</td>
      <td>
        <Moment at_ms={token.created_ms} />
      </td>
      <td>{token.expires_ms === null ? words.tokens.never : <Moment at_ms={token.expires_ms} />}</td>
      <td class="row-actions">
        <Act
          testId={`revoke-${token.id}`}
          label={words.tokens.revoke}
          to={token.label}
          isDanger
          disabled={token.state !== 'valid'}
          onClick={revoke}
        />
      </td>
    </tr>
  );
}
