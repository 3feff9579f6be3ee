// A form as one line of text, and back.

const TIMEOUT_MS = 20_000; // a line that hangs counts as none

export function bodyOf(form) {
  const body = new URLSearchParams(new FormData(form));
  body.delete("csrfmiddlewaretoken");
  return body.toString();
}

export function fillForm(form, body) {
  const said = new URLSearchParams(body);
  for (const field of form.elements) {
    if (!field.name || field.name === "csrfmiddlewaretoken") continue;
    if (field.matches("[type=radio], [type=checkbox]")) field.checked = said.getAll(field.name).includes(field.value);
    else if (said.has(field.name)) field.value = said.get(field.name);
    const isSaid = field.matches("textarea") ? field.value : field.matches("[type=checkbox]:checked");
    if (isSaid && field.closest("details")) field.closest("details").open = true;
  }
}

export function post(url, token, body, options) {
  return fetch(url, {
    ...options,
    method: "POST",
    headers: { "X-CSRFToken": token, "Content-Type": "application/x-www-form-urlencoded" },
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}

// Why the server refused, as {code, message}; null where it said nothing that a program can read.
export async function refusalIn(answer) {
  try {
    return (await answer.json()).error ?? null;
  } catch {
    return null;
  }
}
