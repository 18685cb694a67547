// A page of somebody else, with the strictest policy that the documentation of the badge names.
import { createServer } from 'node:http';

/**
 * Serves pages that show the badge of a server, until the test `t` ends: `/` with the script's attributes of
 * `attributes`, `/tall` with the badge far below what can be seen. Returns the port; `host` decides the site.
 */
export async function serveSite(t, attributes) {
  let badge = '';
  const site = createServer((request, response) => {
    const room = request.url === '/tall' ? '<div style="height: 300vh"></div>' : '';
    const body = `<!doctype html><html lang="en"><title>A blog</title><h1>A blog</h1>${room}${badge}</html>`;
    const origin = badge === '' ? "'none'" : new URL(/src="([^"]+)"/.exec(badge)[1]).origin;
    response.writeHead(200, {
      'content-type': 'text/html',
      'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; script-src ${origin}; frame-src ${origin}`,
    });
    response.end(body);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  t.after(() => site.close());
  return {
    port: site.address().port,
    /** Puts the badge of a server on all pages. */
    show(server) {
      badge = `<script src="${server}/embed.js" ${attributes} async></script>`;
    },
  };
}
