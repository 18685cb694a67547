/** Entry of the volunteer page. */
import { render } from 'preact';
import '../tokens.css';
import './base.css';
import './device.css';
import './limits.css';
import './run.css';
import './pages.css';
import { store } from '../state/store.ts';
import { listenForSpace } from './keyboard.ts';
import { Page } from './page.tsx';

const root = document.getElementById('page');
if (root === null) throw new Error('index.html has no element with id "page"');
listenForSpace(() => store.toggle());
render(<Page />, root);
