/** Entry of the badge: the page's store in a frame of another page, with its own consent. */
import { effect } from '@preact/signals';
import { render } from 'preact';
import '../tokens.css';
import '../volunteer/base.css';
import '../volunteer/device.css';
import './embed.css';
import { DUTY_MAX, DUTY_MIN } from '../state/preferences.ts';
import { store } from '../state/store.ts';
import { isLanguage } from '../texts.ts';
import { Badge } from './Badge.tsx';

const root = document.getElementById('badge');
if (root === null) throw new Error('embed.html has no element with id "badge"');

const asked = new URLSearchParams(location.search);
const duty = Number(asked.get('duty') ?? DUTY_MAX);
if (Number.isInteger(duty) && duty >= DUTY_MIN && duty <= DUTY_MAX) {
  store.setSettings({ ...store.preferences.value.settings, duty_percent: duty, lanes: 1 });
}
const language = asked.get('lang');
if (isLanguage(language)) store.setPreferences({ language });

// A badge that nobody can see must not compute: it counts as a hidden page, and always pauses then.
store.setPreferences({ pauseWhenHidden: true });
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
