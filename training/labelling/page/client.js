// Requests to the server, and the errors that may come of them.

/** The server answered, but not with what was asked for. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.body = body;
  }
}

async function checked(response) {
  if (response.ok) return response;
  let body = {};
  try {
    body = await response.json();
  } catch {
    // a proxy answers in its own words
  }
  throw new Problem(response.status, body);
}

export async function get(path) {
  const response = await checked(await fetch(`api/${path}`));
  return response.json();
}

export async function getBytes(path) {
  const response = await checked(await fetch(`api/${path}`));
  return response.arrayBuffer();
}

export async function post(path, body) {
  const response = await checked(
    await fetch(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-SAMX": "1" },
      body: JSON.stringify(body),
    }),
  );
  return response.json();
}

/** An image, decoded off the main thread; `exact` keeps its values untouched by colour management. */
export async function getImage(path, exact = false) {
  const response = await checked(await fetch(`api/${path}`));
  const options = exact ? { colorSpaceConversion: "none", premultiplyAlpha: "none" } : {};
  return createImageBitmap(await response.blob(), options);
}

/** True where trying again may help: nobody answered, or a server that is starting or overwhelmed. */
export const isPassing = (error) => !(error instanceof Problem) || error.status >= 500 || error.status === 429;
