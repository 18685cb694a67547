/** Entry of the badge: the page's store in a frame of another page, with its own consent. */
import { effect } from '@preact/signals';
import { render } from 'preact';
import '../tokens.css';
import '../volunteer/base.css';
import '../volunteer/device.css';
import './embed.css';
import { isLanguage } from '../language.ts';
import { DUTY_MAX, DUTY_MIN } from '../state/preferences.ts';
import { store } from '../state/store.ts';
import { Badge } from './Badge.tsx';

const root = document.getElementById('badge');
if (root === null) throw new Error('embed.html has no element with id "badge"');

const asked = new URLSearchParams(location.search);
const duty = Number(asked.get('duty') ?? DUTY_MAX);
const language = asked.get('lang');
const { preferences } = store;
// The page around it asks for these, not the visitor: nothing of it is remembered.
preferences.value = {
  ...preferences.value,
  settings: {
    duty_percent: Number.isInteger(duty) && duty >= DUTY_MIN && duty <= DUTY_MAX ? duty : DUTY_MAX,
    lanes: 1,
    // The page around it may need the graphics processor itself.
    gpu: 'off',
  },
  language: isLanguage(language) ? language : preferences.value.language,
  // A badge that nobody can see must not compute: it counts as a hidden page, and always pauses then.
  pauseWhenHidden: true,
};
const inView = { value: true };
const report = (): void => {
  store.page.hidden.value = document.visibilityState === 'hidden' || !inView.value;
};
new IntersectionObserver(
  (entries) => {
    inView.value = (entries.at(-1)?.intersectionRatio ?? 0) >= 0.5;
    report();
  },
  { threshold: [0, 0.5, 1] },
).observe(root);
document.addEventListener('visibilitychange', report);
effect(() => {
  document.title = store.description.value.heading;
});

render(<Badge />, root);
