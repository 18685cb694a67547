/** English. Plain words, no exclamation marks. */
import type { RunPhase } from '../api/types.ts';
import type { PauseReason, SessionStatus } from '../engine/contract.ts';
import { formatCount, formatDuration } from '../format.ts';

const lanesWord = (lanes: number): string => (lanes === 1 ? '1 lane' : `${formatCount(lanes)} lanes`);

export const en = {
  language: { label: '中文', title: '切换到中文' },
  name: 'Tabswarm',
  skip: 'Skip to the run',
  titleSuffix: ' · Tabswarm',

  theme: {
    label: 'Color theme',
    toDark: 'Switch to the dark theme',
    toLight: 'Switch to the light theme',
  },

  chip: {
    label: 'Connection',
    joined: 'Joined',
    ready: 'Server ready',
    asking: 'Connecting',
    reconnecting: 'Reconnecting',
    offline: 'Offline',
  },

  consent: {
    heading: 'Lend this tab. Train a network together.',
    intro:
      'Tabswarm trains neural networks on computers that their owners lend for a while. Nothing runs until you have read this and pressed Start.',
    parts: [
      {
        title: 'What runs',
        body: 'Your processor computes gradients: how the network should change to fit a few training samples better. It happens inside this tab, at the share of your processor that you allow.',
      },
      {
        title: 'What is sent',
        body: 'Your browser downloads the network and training samples, and sends back those gradients with counts of samples and time. Nothing is read from your files, camera, location or other tabs.',
      },
      {
        title: 'How to stop',
        body: 'Pause takes effect at once. Finish hands in what is done and leaves. Closing the tab ends everything; nothing stays running.',
      },
    ],
    changed:
      'This text has changed since you agreed to it: it now tells of the leaderboard, on which you can put a name, and of a limit on data. Please read it again.',
    refuse: 'Not now',
    refused: 'You chose not to lend this tab. Nothing runs and nothing is sent; you can look at the run and try its model.',
    again: 'Read it again',
    accept: 'I understand, continue',
    note: 'Remembered in this browser. You can withdraw it on the page “About”.',
    withdraw: 'Withdraw consent',
  },

  verbs: {
    start: 'Start',
    pause: 'Pause',
    resume: 'Resume',
    finish: 'Finish',
    retry: 'Retry now',
    reload: 'Reload the page',
    restart: 'Start again',
    resumeAnyway: 'Resume anyway',
    spaceStarts: 'Space starts',
    spacePauses: 'Space pauses',
    spaceResumes: 'Space resumes',
  },

  headings: {
    ready: 'Ready when you are',
    away: 'No answer yet',
    starting: 'Starting',
    connecting: 'Connecting',
    joining: 'Joining',
    loading: 'Loading',
    idle: 'Waiting',
    computing: 'Computing',
    paused: 'Paused',
    backoff: 'Reconnecting',
    finishing: 'Finishing',
    finished: 'Finished',
    run_finished: 'Run complete',
    version_mismatch: 'Reload needed',
    refused: 'Not admitted',
    engine_failed: 'Engine stopped',
    failed: 'Engine stopped',
  } as Record<string, string>,

  notStarted: 'Nothing is running. Press Start to lend this tab.',
  askingServer: 'Asking the server which runs it hosts.',
  serverAway: 'The server does not answer.',
  noRuns: 'This server hosts no run at the moment, so there is nothing to compute.',
  runAlreadyFinished: 'This run is complete, so there is nothing left to compute. Its model can be tried below.',
  runAlreadyStopped: 'The operator has stopped this run, so there is nothing to compute.',
  starting: 'Loading the engine into a worker of its own.',
  finishing: 'Handing in what is done, then leaving.',
  cutOff: 'Left without handing in the last piece of work: the server did not answer in time.',
  computing: ({ lanes, version, steps_total }: SessionStatus): string =>
    `Working on step ${formatCount(Math.min(version + 1, steps_total))} of ${formatCount(steps_total)} in ${lanesWord(lanes)}.`,
  loading: ({ done, total }: { done: number; total: number }): string =>
    `Fetching training samples, ${done} of ${total} chunks.`,
  failed: (message: string): string =>
    `The engine stopped unexpectedly${message ? `: ${message}` : ''}. What was accepted so far is safe. Start again, or reload the page if it keeps happening.`,
  outOfMemory:
    'This browser gave the engine no more memory. What was accepted so far is safe. Close other tabs or choose fewer lanes below, then start again.',
  retryIn: (seconds: number): string =>
    seconds > 0 ? `Trying again in ${formatDuration(seconds)}.` : 'Trying again now.',

  waiting: {
    connecting: 'Opening the connection to the server.',
    joining: 'Asking the server to join the run.',
    loading: 'Fetching the network and training samples.',
    idle: 'Waiting for the server to hand out work.',
    paused: 'Paused.',
    backoff: 'The connection was lost.',
  } as Partial<Record<string, string>>,

  paused: {
    user: 'You paused it. Press Resume to go on.',
    hidden: 'Paused while this tab is hidden, as you asked.',
    on_battery: 'Paused while the device runs on battery.',
    battery_low: 'Paused because the battery is nearly empty.',
    offline: 'Paused because this device is offline.',
    data_cap: 'Paused because the data limit is reached.',
  } satisfies Record<PauseReason, string>,

  stopped: {
    finished: 'All work is handed in. Thank you for the time.',
    version_mismatch: 'The server speaks a newer version than this page. Reload to get it.',
    refused: 'The server did not admit this tab.',
    run_finished: 'The run reached its last step. Thank you for helping; try the model below.',
    engine_failed: 'The engine cannot run on this device.',
  },

  lease: {
    label: 'Current lease',
    none: 'None at the moment',
    amount: (done: number, total: number, samples: number): string =>
      `${done} of ${total} micro-batches, ${formatCount(samples)} samples`,
  },

  sunflower: (stepsPerDot: string): string =>
    `Each dot is ${stepsPerDot} of the run. Blue is done by all, amber is yours.`,
  sunflowerDot: (steps: number): string => (steps === 1 ? 'one step' : `${steps} steps`),

  contribution: {
    heading: 'Your contribution',
    computed: 'Computed',
    accepted: 'Accepted',
    credited: 'Credited',
    rejected: 'Rejected',
    samples: 'samples',
    creditedHelp:
      'Credited samples are part of a step that the server has written to disk. A crash cannot take them back.',
    speed: 'Speed',
    up: 'Sent',
    down: 'Received',
    firstAccepted: 'First accepted after',
    arithmetic: 'Arithmetic',
    classes: { portable: 'portable', fused: 'fused' },
    rejectedWhy: 'Why samples were rejected',
  },

  limits: {
    heading: 'What this tab may use',
    duty: 'Processor share',
    dutyHelp: (measured: string): string => `measured ${measured}`,
    dutyUnmeasured: 'not measured yet',
    lanes: 'Lanes',
    lanesHelp: (cores: number): string => `of ${cores} cores`,
    hidden: 'Pause when this tab is hidden',
    hiddenHelp: 'Off: it keeps working in the background.',
    battery: 'Pause on battery',
    batteryHelp: 'Below the battery floor it pauses in any case.',
    floor: 'Battery floor',
    floorHelp: 'Off the plug and below this, it pauses.',
    cap: 'Data a day',
    capNone: 'No limit',
    capHelp: (used: string): string => `${used} used today, sent and received`,
    gpu: 'Use the graphics processor',
    gpuReasons: {
      missing: 'This browser offers none to pages (no WebGPU), so the processor does the work.',
      adapter: 'This device has none that the browser lets pages use, so the processor does the work.',
      software: 'A software adapter: the processor itself is faster.',
      ready: 'For runs that allow it, where it is faster than the processor.',
      looking: 'Looking for one.',
    },
    gpuChosen: {
      gpu: (reason: string): string => `In use: ${reason}.`,
      cpu: (reason: string): string => `The processor computes: ${reason}.`,
    },
    awake: 'Keep the screen awake while computing',
    awakeHelp: 'Off: the device may go to sleep as usual.',
    awakeUnknown: 'This browser does not let pages ask for it.',
    memory: 'This browser does not let the page remember your choices: the window is private or its storage is full. They hold until you close it.',
    batteryUnknown: 'This browser does not report the battery.',
  },

  run: {
    heading: 'The run',
    choose: 'Runs on this server',
    phases: {
      created: 'Not started',
      running: 'Running',
      paused: 'Paused by the operator',
      finished: 'Complete',
      stopped: 'Stopped',
    } satisfies Record<RunPhase, string>,
    step: 'Step',
    of: 'of',
    epoch: (epoch: number, epochs: number): string => `Epoch ${epoch} of ${epochs}`,
    eta: 'Time left',
    workers: 'Workers',
    lanes: 'Lanes',
    speed: 'Samples',
    parameters: 'Parameters',
    committed: 'Samples committed',
    reproducible:
      'Bitwise reproducible: the result depends on the run file alone, whoever helps and whoever leaves.',
    progressLabel: 'Steps committed',
    owner: (name: string): string => `Run by ${name}.`,
    more: 'More about it',
    download: 'Download the model',
    downloadOnnx: 'Download as ONNX',
    downloadHelp: (version: number): string => `safetensors, newest snapshot (step ${formatCount(version)})`,
    downloading: 'Preparing the file.',
    elsewhere: (name: string): string =>
      `This tab computes for ${name}. Finish there first to join this run.`,
    waiting: 'Waiting for the server.',
    offline: 'Offline: these are the last known figures',
  },

  runs: {
    heading: 'Runs on this server',
    intro: 'Each run trains one network. Open one to see its curves, try its model and lend this tab to it.',
    all: (count: number): string => `All ${formatCount(count)} runs`,
    progress: 'Progress',
    accuracy: 'Accuracy',
    loss: 'Train loss',
    joined: 'This tab works for it',
    shown: 'Shown on the run’s page',
  },

  charts: {
    loss: 'Train loss',
    accuracy: 'Test accuracy',
    noLoss: 'The curve begins with the first committed step.',
    noAccuracy: 'The curve begins with the first evaluation.',
    at: (version: number): string => `at step ${formatCount(version)}`,
    now: 'latest',
    alternative: (label: string, value: string): string =>
      `${label} over steps. Latest value ${value}. The same figures are in the table below.`,
    table: 'Figures as a table',
    tableCaption: 'Train loss and test accuracy by step',
    step: 'Step',
  },

  digit: {
    heading: 'Try the model',
    intro: 'Draw a digit. The newest model answers in this tab; your drawing is not sent anywhere.',
    canvas: 'Drawing area. Use a mouse, pen or finger, or press one of the digit buttons.',
    clear: 'Clear',
    samples: 'Draw a sample digit',
    sample: (digit: number): string => `Draw a ${digit}`,
    version: 'Model',
    newest: 'Newest',
    untrained: 'Step 0, before training',
    over: 'Ten test digits over time',
    overIntro: 'One digit of each kind that the model never trained on, and what each version takes it for.',
    confusion: (version: number, samples: number, percent: string): string =>
      `At step ${formatCount(version)}: ${percent} of ${formatCount(samples)} test digits right. A row is what was written, a column what the model read.`,
    confusionTitle: 'Confusion matrix',
    confusionCorner: 'Written',
    examine: 'Examine the model',
    examining: 'Running the model over test digits in this tab.',
    trueClass: (digit: number): string => `Test digit ${digit}`,
    snapshot: (version: number, accuracy: string | null): string =>
      `Step ${formatCount(version)}${accuracy === null ? '' : `, ${accuracy}`}`,
    sees: 'What the model sees',
    empty: 'Draw something to get an answer.',
    noSnapshot: 'The run has not published a model yet.',
    loading: 'Loading the model.',
    prediction: (digit: number, percent: string): string => `Looks like a ${digit} (${percent})`,
    failed: (message: string): string => `The model could not be tried: ${message}.`,
    retry: 'Try again',
    bars: 'Probability of each digit',
    usedVersion: (version: number): string => `Answered by the model of step ${formatCount(version)}.`,
  },

  writing: {
    heading: 'Let the model write',
    intro: 'Give it a beginning. The newest model goes on in this tab, character by character; nothing is sent anywhere.',
    prompt: 'Beginning',
    start: 'Call me Ishmael. ',
    temperature: 'Temperature',
    temperatureHelp: 'Low: careful and repetitive. High: bold and wrong.',
    write: 'Write',
    stop: 'Stop',
    output: 'What the model writes',
    empty: 'Press Write to see what it has learned.',
    failed: (message: string): string => `The model could not write: ${message}`,
  },

  leaders: {
    heading: 'Leaderboard',
    intro: 'Only who chooses to is named here. Everybody else helps unseen and counts all the same.',
    none: 'Nobody has put a name here yet.',
    away: 'The leaderboard is not available at the moment.',
    inRun: (run: string): string => `In the run “${run}”`,
    rank: 'Place',
    volunteer: 'Volunteer',
    samples: 'Samples credited',
    place: (rank: string, of: string): string => `Your tab is number ${rank} of ${of} in this run.`,
    noPlace: 'Your place shows once your first samples are credited.',
    label: 'Your name on it',
    help: 'Two to 24 letters and digits. It is sent to the server with a random key of this browser, and shown to everybody.',
    join: 'Put my name on it',
    leave: 'Take my name off',
    joined: (name: string): string => `You are on it as ${name}.`,
    pending: (name: string): string => `${name} will be on it once samples are credited.`,
    refused: (detail: string): string => `The server did not take the name: ${detail}`,
  },

  card: {
    open: 'Make a card',
    title: 'Your card',
    trained: (samples: string): string => `I trained ${samples} samples`,
    of: (run: string): string => `of “${run}” in a browser tab`,
    save: 'Save picture',
    share: 'Share',
    copy: 'Copy text',
    copied: 'Copied',
    text: (samples: string, run: string): string =>
      `I lent a browser tab and trained ${samples} samples of “${run}” with Tabswarm.`,
    alternative: (text: string): string => `Card: ${text}`,
    nothing: 'The card can be made once samples are credited.',
    help: 'A picture of what you trained, to keep or share.',
  },

  pages: {
    label: 'Pages',
    run: 'Run',
    runs: 'All runs',
    leaders: 'Leaderboard',
    about: 'About',
    privacy: 'Privacy',
  },

  privacy: {
    heading: 'Privacy',
    items: [
      {
        q: 'Before you agree',
        a: 'The page asks the server which runs there are and how they go. The server sees your network address, as any web server does, and keeps it in no file.',
      },
      {
        q: 'While it computes',
        a: 'The name and version of this page, how many lanes it has and which arithmetic it can do; then gradients, with how many samples they cover and how long they took. A random token names this session.',
      },
      {
        q: 'What the server keeps',
        a: 'A digest of that token with the samples credited to it, the program’s name, and when it was seen first and last. No address, no browser, no person.',
      },
      {
        q: 'If you put a name on the leaderboard',
        a: 'The name, a digest of a random key that this browser makes, and which sessions belong together. “Take my name off” removes all of it at once.',
      },
      {
        q: 'What this browser keeps',
        a: 'That you agreed and to which version of the text, your settings, the bytes used today, the key if you chose a name, and caches of public training data and models.',
      },
      {
        q: 'Others',
        a: 'None. No cookies, no third parties, no fonts or scripts from elsewhere. What you draw or write to try a model stays in this tab.',
      },
    ],
    forget: 'Forget everything in this browser',
    forgetHelp: 'Ends the session, withdraws consent and removes settings, key and caches.',
  },

  embed: {
    lead: 'Lend this tab to train',
    accept: 'Agree and start',
    terms: 'It uses your processor for gradients and sends them to the server of this badge. No cookies. Stops when you say so or close the page.',
    open: 'Details',
  },

  /** Sentences of the engine and the server, where they are not already in this language. */
  sentences: {} as Record<string, string>,

  about: {
    heading: 'In plain words',
    items: [
      {
        q: 'What leaves this tab?',
        a: 'Gradients, which are lists of numbers, with how many samples they cover and how long they took. The server also sees your network address, as any web server does. No cookies, no account, no third parties.',
      },
      {
        q: 'What stays on this device?',
        a: 'Your choices on this page and a cache of public training samples. Clearing this site’s data in the browser removes both.',
      },
      {
        q: 'What does it cost me?',
        a: 'Electricity and data. Each lane keeps one core busy for the share you allow. The figures on the run’s page show what was sent and received since you pressed Start.',
      },
      {
        q: 'What do the counts mean?',
        a: 'Computed: your device did the work. Accepted: the server checked the update and took it. Credited: the step that holds it is durable on the server. Rejected: it came too late or did not pass a check; that is no fault of yours.',
      },
    ],
  },

  diagnostics: {
    copy: 'Copy diagnostics',
    copied: 'Copied',
    manual: 'This browser does not let the page copy. Select the text and copy it yourself.',
    help: 'Versions, settings and the last state, without addresses or keys.',
  },
};

/** What every language has. */
export type Texts = typeof en;
