// Puts the badge of this server on another page: a frame of the server's origin, in which the visitor is asked
// before anything runs. Usage: <script src="https://SERVER/embed.js" data-run="NAME" data-duty="50" async></script>
(() => {
  const script = document.currentScript;
  if (!script) return;
  const url = new URL('/embed.html', script.src);
  const { run, duty, lang } = script.dataset;
  if (run) url.searchParams.set('run', run);
  if (duty) url.searchParams.set('duty', duty);
  if (lang) url.searchParams.set('lang', lang);
  const frame = document.createElement('iframe');
  frame.src = url.href;
  frame.title = 'Tabswarm: lend this tab to train a neural network';
  // Scripts and workers of its own origin, and links that open in tabs; nothing of the page around it.
  frame.setAttribute('sandbox', 'allow-scripts allow-same-origin allow-popups allow-popups-to-escape-sandbox');
  frame.setAttribute('referrerpolicy', 'no-referrer');
  frame.width = '340';
  frame.height = '200';
  frame.style.cssText = 'border:0;border-radius:8px;max-width:100%;color-scheme:normal';
  script.after(frame);
})();
