/** The text behind "Copy diagnostics": what the page knows, less anything secret or personal. */
import { store } from './store.ts';

/** A JSON document. Holds no address, token or URL: runs are named by their public name. */
export function diagnostics(): string {
  const run = store.run.value;
  return JSON.stringify(
    {
      page: 'tabswarm volunteer',
      time: new Date().toISOString(),
      browser: navigator.userAgent,
      cores: store.cores,
      online: store.page.online.value,
      hidden: store.page.hidden.value,
      battery: store.page.battery.value,
      preferences: store.preferences.value,
      consented: store.consented.value,
      state: store.description.value.state,
      server: store.server.value,
      session: store.session.value,
      run: run && { name: run.name, phase: run.phase, version: run.version },
    },
    null,
    2,
  );
}
