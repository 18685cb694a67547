/** Tokens of the admin listener: issued, listed, revoked. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Confirm, type Ask, type Question } from './Confirm.tsx';
import { periodOf, periods } from './periods.ts';
import { store } from './state.ts';
import { Moment } from './Moment.tsx';
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
      ) : page.tokens.length === 0 ? (
        <p class="notice">{words.tokens.none}</p>
      ) : (
        <List tokens={page.tokens} ask={setQuestion} />
      )}
      {page !== null && page.next !== null && <p class="fine">{words.more}</p>}
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
      <div class="field">
        <label for="token-scope">{words.tokens.scope}</label>
        <select
          id="token-scope"
          data-testid="token-scope"
          value={scope}
          aria-describedby="token-scope-help"
          onChange={(event) => setScope(event.currentTarget.value as Scope)}
        >
          {SCOPES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="token-expires">{words.tokens.expires}</label>
        <select
          id="token-expires"
          data-testid="token-expires"
          value={period}
          onChange={(event) => setPeriod(event.currentTarget.value)}
        >
          {periods(words.tokens.never).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </div>
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
    <div class="table-scroll wide" tabIndex={0} role="region" aria-label={words.tokens.heading}>
      <table class="data-table" data-testid="tokens">
        <thead>
          <tr>
            <th scope="col">{columns.label}</th>
            <th scope="col">{columns.scope}</th>
            <th scope="col">{columns.state}</th>
            <th scope="col">{columns.created}</th>
            <th scope="col">{columns.expires}</th>
            <th scope="col" class="acts">
                  {words.run.actions}
                </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <Row key={token.id} token={token} ask={ask} />
          ))}
        </tbody>
      </table>
    </div>
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
        <button
          type="button"
          class="button danger"
          data-testid={`revoke-${token.id}`}
          disabled={token.state !== 'valid'}
          aria-label={`${words.tokens.revoke}: ${token.label}`}
          onClick={revoke}
        >
          {words.tokens.revoke}
        </button>
      </td>
    </tr>
  );
}
