// Runs before the first paint so that a remembered theme never flashes the other one.
// The page owns the choice (src/state/preferences.ts); this only reads it.
try {
  const theme = JSON.parse(localStorage.getItem('tabswarm.preferences') ?? '{}').theme;
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off or holds something else: the system's theme applies.
}
