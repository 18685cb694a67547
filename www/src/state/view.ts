/** Which page is shown. All of them are one document, so that reading one does not end the work. */
import { signal } from '@preact/signals';

/** The pages, as they stand behind the # of the address. */
export const VIEWS = ['run', 'runs', 'leaders', 'about', 'privacy'] as const;
export type View = (typeof VIEWS)[number];

/** The page that an address names; the run for any other. */
export function viewOf(hash: string): View {
  const name = hash.replace(/^#\/?/, '');
  return VIEWS.find((view) => view === name) ?? 'run';
}

/** The page that is shown, as the address says. */
export function watchView() {
  const view = signal<View>(viewOf(location.hash));
  window.addEventListener('hashchange', () => {
    view.value = viewOf(location.hash);
  });
  return view;
}
