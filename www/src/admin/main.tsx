/** Entry of the operator's console, which the admin listener serves. */
import { render } from 'preact';
import '../tokens.css';
import '../volunteer/base.css';
import '../volunteer/run.css';
import './admin.css';
import './tables.css';
import './forms.css';
import './work.css';
import { Page } from './page.tsx';

const root = document.getElementById('console');
if (root === null) throw new Error('admin.html has no element with id "console"');
render(<Page />, root);
