// Try a call from the page that describes it. The key stays in the page: it is neither stored nor put into an address.

const key = document.querySelector(".key input");
document.querySelector(".key").hidden = false;

const fields = (form, place) =>
  [...form.querySelectorAll(`[data-in="${place}"]`)].filter((field) => field.value !== "").map((field) => [field.name, field.value]);

function asked(form) {
  const path = form.dataset.path.replace(/\{(\w+)\}/g, (_, name) =>
    encodeURIComponent(form.querySelector(`[data-in="path"][name="${name}"]`).value || name));
  const query = new URLSearchParams(fields(form, "query")).toString();
  const headers = Object.fromEntries(fields(form, "header"));
  if (key.value) headers.Authorization = `Bearer ${key.value}`;
  const body = form.querySelector("textarea")?.value;
  if (body) headers["Content-Type"] = "application/json";
  return [path + (query && `?${query}`), { method: form.dataset.method, headers, body: body || undefined }];
}

async function send(form) {
  const shown = form.querySelector("output pre");
  const [address, options] = asked(form);
  shown.textContent = "…";
  try {
    const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(70_000) });
    const head = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const text = await answer.text();
    let body = text;
    try { body = JSON.stringify(JSON.parse(text), null, 1); } catch { /* it is no JSON: as it is */ }
    shown.textContent = `${answer.status} ${answer.statusText}\n${head}\n\n${body}`;
  } catch (error) {
    shown.textContent = `No answer: ${error.message}`;
  }
}

for (const form of document.querySelectorAll(".try")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}
