// A server of a version that the page does not speak, in front of a real one whose page it serves.
import { createHash } from 'node:crypto';
import { createServer, request } from 'node:http';

/** What RFC 6455 appends to a client's key. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** A frame that begins as all versions do: "TSWM", then this version, then what nobody here can read. */
export const NEWER_VERSION = 999;
const FRAME = Buffer.from([0x54, 0x53, 0x57, 0x4d, NEWER_VERSION & 0xff, NEWER_VERSION >> 8, 1, 2, 3, 4, 5, 6]);
const FINAL_BINARY = 0x82;

/** Serves what the server `origin` does, but for its sockets, until the test `t` ends; returns its own origin. */
export async function serveNewer(t, origin) {
  const front = createServer((asked, response) => {
    const passed = request(new URL(asked.url, origin), { method: asked.method, headers: asked.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    asked.pipe(passed);
  });
  const sockets = new Set();
  front.on('upgrade', (asked, socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const accept = createHash('sha1').update(asked.headers['sec-websocket-key'] + ACCEPT_SUFFIX).digest('base64');
    const protocol = asked.headers['sec-websocket-protocol'];
    const lines = [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${accept}`,
      ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol.split(',')[0]}`]),
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    socket.write(Buffer.concat([Buffer.from([FINAL_BINARY, FRAME.length]), FRAME]));
  });
  await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    front.closeAllConnections();
    front.close();
  });
  return `http://127.0.0.1:${front.address().port}`;
}
