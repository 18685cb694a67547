/** The leaderboard, and the choice to be on it. */
import { useEffect, useState } from 'preact/hooks';
import { formatCount } from '../format.ts';
import { store } from '../state/store.ts';
import { texts } from '../texts.ts';

const REFRESH_MS = 10_000;

export function Leaders() {
  const run = store.selected.value;
  const title = store.run.value?.title || run;
  useEffect(() => {
    if (run === null) return undefined;
    void store.membership.refresh(run);
    const timer = setInterval(() => void store.membership.refresh(run), REFRESH_MS);
    return () => clearInterval(timer);
  }, [run]);
  const words = texts.leaders;
  return (
    <section class="leaders" id="content" tabIndex={-1} aria-labelledby="leaders-heading">
      <h1 id="leaders-heading">{words.heading}</h1>
      <p class="description">{words.intro}</p>
      {title !== null && <h2>{words.inRun(title)}</h2>}
      <Board />
      <NameForm />
    </section>
  );
}

function Board() {
  const words = texts.leaders;
  const { leaders, leadersFailed } = store.membership;
  if (leadersFailed.value) return <p class="notice">{words.away}</p>;
  const rows = leaders.value ?? [];
  if (rows.length === 0) {
    return <p class="notice" data-testid="leaders-none">{words.none}</p>;
  }
  return (
    <table class="board" data-testid="leaders">
      <thead>
        <tr>
          <th scope="col">{words.rank}</th>
          <th scope="col">{words.volunteer}</th>
          <th scope="col">{words.samples}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, samples }, idx) => (
          <tr key={name} class={name === store.membership.named.value ? 'mine' : undefined}>
            <td>{formatCount(idx + 1)}</td>
            <th scope="row">{name}</th>
            <td>{formatCount(samples)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function NameForm() {
  const words = texts.leaders;
  const { membership } = store;
  const volunteer = membership.volunteer.value;
  const [name, setName] = useState(volunteer?.name ?? '');
  const [failed, setFailed] = useState(false);
  const join = (event: Event): void => {
    event.preventDefault();
    if (name.trim() !== '') membership.join(name.trim());
  };
  const leave = (): void => {
    membership.leave().then(
      () => setFailed(false),
      () => setFailed(true),
    );
  };
  return (
    <form class="name-form" onSubmit={join}>
      <label for="leader-name">{words.label}</label>
      <div class="name-row">
        <input
          id="leader-name"
          data-testid="leader-name"
          type="text"
          maxLength={24}
          minLength={2}
          autocomplete="off"
          aria-describedby="leader-help"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <button type="submit" class="button plain" data-testid="leader-join">
          {words.join}
        </button>
        {volunteer !== null && (
          <button type="button" class="button plain" data-testid="leader-leave" onClick={leave}>
            {words.leave}
          </button>
        )}
      </div>
      <p class="fine" id="leader-help">
        {words.help}
      </p>
      <p role="status" data-testid="leader-state">
        {failed ? words.away : nameState()}
      </p>
    </form>
  );
}

function nameState(): string {
  const words = texts.leaders;
  const { named, problem, volunteer } = store.membership;
  if (problem.value !== null) return words.refused(problem.value);
  if (named.value !== null) return words.joined(named.value);
  return volunteer.value === null ? '' : words.pending(volunteer.value.name);
}
