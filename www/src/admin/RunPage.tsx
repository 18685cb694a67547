/** One run: its figures and curves, what it can be told, and the versions that it can go back to. */
import { useState } from 'preact/hooks';
import { formatCount } from '../format.ts';
import { Confirm, type Ask, type Question } from './Confirm.tsx';
import { Act, DataTable } from './DataTable.tsx';
import { RunCurves } from './RunCurves.tsx';
import { Phase, RunFigures } from './Overview.tsx';
import { Progress } from './Progress.tsx';
import { runAddress, settingsAddress } from './place.ts';
import { Snapshots } from './Snapshots.tsx';
import { store } from './state.ts';
import type { AdminRun, RunVerb, Version } from './types.ts';
import { words } from './words.ts';
import { WorkSection } from './WorkSection.tsx';

/** What may be ordered in each phase. */
const VERBS: Record<AdminRun['phase'], readonly RunVerb[]> = {
  created: ['start', 'stop'],
  running: ['pause', 'stop'],
  paused: ['resume', 'stop'],
  finished: [],
  stopped: [],
};

/** A run can go back to thousands of versions; of older ones the snapshots are the likely choice. */
const VERSIONS_SHOWN = 200;

export function RunPage() {
  const run = store.run.value;
  const [question, setQuestion] = useState<Question | null>(null);
  return (
    <>
      <p>
        <a href="#overview">{words.run.back}</a>
      </p>
      {run === null ? (
        <p class="notice">{store.runs.value === null ? words.health.unknown : words.run.unknown}</p>
      ) : (
        <>
          <div class="run-title">
            <h1>{run.name}</h1>
            <Phase run={run} />
          </div>
          <p class="description">{run.title}</p>
          <Verbs run={run} ask={setQuestion} />
          <p class="problem" role="alert" data-testid="problem">
            {store.problem.value}
          </p>
          <Progress run={run} />
          <RunFigures run={run} />
          <RunCurves run={run} />
          <WorkSection />
          <Versions run={run} ask={setQuestion} />
          <Snapshots run={run} ask={setQuestion} />
        </>
      )}
      <Confirm question={question} close={() => setQuestion(null)} />
    </>
  );
}

function Verbs({ run, ask }: { run: AdminRun; ask: Ask }) {
  const { confirm } = words;
  const order = (verb: RunVerb) => (): Promise<boolean> => store.order(run.name, verb);
  const press = (verb: RunVerb): void => {
    if (verb === 'stop') {
      ask({ title: confirm.stop(run.name), body: confirm.stopBody, confirm: confirm.stopDo, act: order(verb) });
    } else if (verb === 'pause') {
      ask({ title: confirm.pause(run.name), body: confirm.pauseBody, confirm: confirm.pauseDo, act: order(verb) });
    } else void store.order(run.name, verb);
  };
  return (
    <div class="run-verbs">
      {VERBS[run.phase].map((verb) => (
        <button
          key={verb}
          type="button"
          class={`button ${verb === 'stop' ? 'danger' : 'plain'}`}
          data-testid={`do-${verb}`}
          onClick={() => press(verb)}
        >
          {words.run.verbs[verb]}
        </button>
      ))}
      {run.phase !== 'finished' && run.phase !== 'stopped' && (
        <a class="button plain" href={settingsAddress(run.name)} data-testid="settings">
          {words.run.settings}
        </a>
      )}
    </div>
  );
}

function Versions({ run, ask }: { run: AdminRun; ask: Ask }) {
  const all = store.files.value?.versions ?? [];
  const versions = all.slice(0, VERSIONS_SHOWN);
  return (
    <section>
      <h2 id="versions-heading">{words.run.versions}</h2>
      {versions.length === 0 ? (
        <p class="description">{words.run.noVersions}</p>
      ) : (
        <>
          {run.phase !== 'paused' && <p class="fine">{words.run.mustRest}</p>}
          {all.length > versions.length && (
            <p class="fine">{words.run.newest(formatCount(versions.length), formatCount(all.length))}</p>
          )}
          <DataTable
            testId="versions"
            labelledBy="versions-heading"
            columns={[words.run.version, words.run.digest]}
            hasActs
            frame="versions"
          >
            {versions.map((version) => (
              <VersionRow key={version.version} run={run} version={version} ask={ask} />
            ))}
          </DataTable>
        </>
      )}
    </section>
  );
}

function VersionRow({ run, version: { version, params_digest }, ask }: { run: AdminRun; version: Version; ask: Ask }) {
  const { confirm } = words;
  const shown = formatCount(version);
  const rollBack = (): void =>
    ask({
      title: confirm.rollBack(run.name, shown),
      body: confirm.rollBackBody,
      confirm: confirm.rollBackDo,
      act: () => store.rollBack(run.name, version),
    });
  const fork = (): void =>
    ask({
      title: confirm.fork(run.name, shown),
      body: confirm.forkBody,
      confirm: confirm.forkDo,
      fields: [{ key: 'name', label: confirm.forkName }],
      act: async ({ name = '' }) => {
        const done = await store.fork(run.name, name, version);
        if (done) location.hash = runAddress(name);
        return done;
      },
    });
  return (
    <tr>
      <th scope="row">{shown}</th>
      <td class="digest">{params_digest.slice(0, 16)}</td>
      <td class="row-actions">
        <Act
          testId={`roll-back-${version}`}
          label={words.run.rollBack}
          to={shown}
          disabled={run.phase !== 'paused' || version === run.version}
          onClick={rollBack}
        />
        <Act testId={`fork-${version}`} label={words.run.fork} to={shown} onClick={fork} />
      </td>
    </tr>
  );
}
