/** Asks for the admin token. */
import { useState } from 'preact/hooks';
import { store } from './state.ts';
import { words } from './words.ts';

export function SignIn() {
  const [token, setToken] = useState('');
  const problem = store.signInProblem.value;
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token.trim() !== '') void store.signIn(token.trim());
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      <h1>{words.signIn.heading}</h1>
      <label for="token">{words.signIn.label}</label>
      <input
        id="token"
        data-testid="token"
        type="password"
        autocomplete="off"
        spellcheck={false}
        required
        value={token}
        aria-describedby="token-help token-problem"
        aria-invalid={problem !== null}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <p class="fine" id="token-help">
        {words.signIn.help}
      </p>
      <p class="problem" id="token-problem" role="alert" data-testid="sign-in-problem">
        {problem}
      </p>
      <button type="submit" class="button primary" data-testid="sign-in">
        {words.signIn.submit}
      </button>
    </form>
  );
}
