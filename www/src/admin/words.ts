/** Every sentence and label of the console. Plain words, no exclamation marks. */
import type { RunVerb } from './types.ts';

export const words = {
  name: 'Tabswarm console',
  skip: 'Skip to the content',
  pages: { label: 'Pages', overview: 'Overview', workers: 'Workers', events: 'Events', create: 'New run' },
  signOut: 'Sign out',
  none: '–',

  signIn: {
    heading: 'Sign in',
    label: 'Admin token',
    help: 'It stands in the file admin-token of the data directory, unless the server was started with TABSWARM_ADMIN_TOKEN. This tab keeps it until it is closed.',
    submit: 'Sign in',
    refused: 'The server does not know this token.',
  },

  health: {
    ok: 'All is well',
    degraded: 'Needs attention',
    away: 'The server does not answer. These are the last figures.',
    unknown: 'Asking',
    of: (run: string, steps: number): string => `${run}: ${steps} steps are not on stable storage. `,
    ledger: 'Ledger: ',
  },

  overview: {
    heading: 'Runs',
    none: 'No run yet. A run file makes one.',
    create: 'Create a run',
    step: (version: string, total: string): string => `Step ${version} of ${total}`,
  },

  run: {
    back: 'All runs',
    unknown: 'There is no run of this name.',
    loss: 'Train loss',
    accuracy: 'Test accuracy',
    noLoss: 'The curve begins with the first committed step.',
    noAccuracy: 'The curve begins with the first evaluation.',
    workers: 'Workers',
    lanes: 'Lanes',
    speed: 'Samples',
    left: 'Time left',
    committed: 'Samples committed',
    undurable: 'Steps not yet durable',
    parameters: 'Parameters',
    digest: 'Digest',
    verbs: { start: 'Start', pause: 'Pause', resume: 'Resume', stop: 'Stop for good' } satisfies Record<
      RunVerb,
      string
    >,
    versions: 'Versions that can be restored',
    newest: (shown: string, all: string): string =>
      `The newest ${shown} of ${all}. The program tabswarm reaches all of them.`,
    noVersions: 'None yet: the first snapshot brings one.',
    version: 'Version',
    actions: 'Actions',
    rollBack: 'Roll back to it',
    fork: 'Fork from it',
    mustRest: 'A run is rolled back while it is paused.',
    snapshots: 'Snapshots',
    noSnapshots: 'No snapshot yet.',
    size: 'Size',
  },

  workers: {
    heading: 'Workers',
    filter: 'Filter',
    filterHelp: 'By id, program, run or state.',
    connectedOnly: 'Connected only',
    none: 'No worker.',
    noMatch: 'No worker matches.',
    shown: (shown: string, all: string): string => `${shown} of ${all} workers`,
    columns: {
      worker_id: 'Worker',
      state: 'State',
      run: 'Run',
      software: 'Program',
      lanes: 'Lanes',
      micro_batches_per_s: 'Micro-batches/s',
      samples_accepted: 'Accepted',
      samples_credited: 'Credited',
      updates_rejected: 'Rejected',
    },
    away: 'away',
    working: 'connected',
    paused: (reason: string): string => `paused: ${reason.replaceAll('_', ' ')}`,
  },

  events: {
    heading: 'Events',
    none: 'No event yet.',
    filter: 'Filter',
    time: 'Time',
    kind: 'Event',
    run: 'Run',
    detail: 'Detail',
  },

  create: {
    heading: 'New run',
    intro: 'Paste a run file, or choose one. The data set that it names must lie in the data set folder of the server.',
    file: 'Run file',
    text: 'Run file as text (TOML)',
    start: 'Start it at once',
    submit: 'Create the run',
    busy: 'Preparing the data set. This may take minutes.',
  },

  confirm: {
    cancel: 'Cancel',
    stop: (run: string): string => `Stop ${run} for good?`,
    stopBody: 'Workers leave it, and it can’t be started again. Its snapshots stay.',
    stopDo: 'Stop for good',
    pause: (run: string): string => `Pause ${run}?`,
    pauseBody: 'Workers stop after what they have in work, and wait or go to other runs.',
    pauseDo: 'Pause',
    rollBack: (run: string, version: string): string => `Roll ${run} back to version ${version}?`,
    rollBackBody: 'All later steps are undone, and the credits for them are taken back.',
    rollBackDo: 'Roll back',
    fork: (run: string, version: string): string => `Fork ${run} at version ${version}`,
    forkBody: 'A new run begins with the parameters of this version. It is not started.',
    forkName: 'Name of the new run',
    forkDo: 'Fork',
  },
};
