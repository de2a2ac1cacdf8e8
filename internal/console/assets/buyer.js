// The page is complete without this. With it, changes come by themselves, the time to pay counts down, codes are shown in
// place and can be copied, and times are the reader's own.
"use strict"

const order = () => document.getElementById("order")
const parts = ["status", "cards", "lines", "help"]
let stream = null
let again = 0

document.documentElement.classList.add("script")
tidy()
watch()
setInterval(tick, 1000)
document.addEventListener("submit", reveal)
document.addEventListener("click", copy)

// watch listens for changes as long as there are any to come. The browser comes back by itself after a cut; when it gives
// up, because the server refused, the page looks after itself and tries again.
function watch() {
  if (stream || !order().dataset.watch) return
  stream = new EventSource(`${order().dataset.watch}&last_event_id=${order().dataset.seen}`)
  stream.addEventListener("order", () => {
    again = 0
    refresh()
  })
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED) return
    stream = null
    again = Math.min(again + 1, 6)
    setTimeout(() => refresh().then(watch), again * 5000)
  })
}

// refresh fetches the page anew and puts its parts in the place of the old ones.
async function refresh() {
  try {
    const response = await fetch(order().dataset.page, { cache: "no-store" })
    if (response.ok) show(await response.text())
  } catch { /* offline: the stream says when to try again */ }
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html")
  const now = fresh.getElementById("order")
  if (!now) return
  for (const id of parts) {
    const from = fresh.getElementById(id), to = document.getElementById(id)
    if (!from || !to) continue
    // Codes that are being read stay where they are.
    if (id === "cards" && to.hasAttribute("data-shown") && !from.hasAttribute("data-shown") && !from.hidden) continue
    for (const name of ["class", "hidden", "data-shown"]) {
      if (from.hasAttribute(name)) to.setAttribute(name, from.getAttribute(name))
      else to.removeAttribute(name)
    }
    if (to.innerHTML !== from.innerHTML) to.replaceChildren(...document.importNode(from, true).childNodes)
  }
  document.title = fresh.title
  for (const name of ["watch", "seen", "status"]) order().dataset[name] = now.dataset[name]
  if (!order().dataset.watch && stream) {
    stream.close()
    stream = null
  }
  tidy()
}

async function reveal(event) {
  if (!event.target.matches("[data-reveal]")) return
  event.preventDefault()
  const button = event.target.querySelector("button")
  button.disabled = true
  try {
    const response = await fetch(event.target.action, { method: "POST", cache: "no-store" })
    if (!response.ok) throw new Error(response.status)
    show(await response.text())
    document.querySelector("#cards h2").scrollIntoView({ block: "nearest" })
  } catch {
    event.target.submit() // the server says what is wrong
  }
}

async function copy(event) {
  const button = event.target.closest("[data-copy], [data-copy-all]")
  if (!button) return
  const codes = button.matches("[data-copy]") ? button.closest("li").querySelectorAll("code") : document.querySelectorAll("#cards code")
  const text = Array.from(codes, code => code.textContent).join("\n")
  if (!await toClipboard(text)) return
  const label = button.textContent
  if (label === button.dataset.copied) return
  button.textContent = button.dataset.copied
  setTimeout(() => { button.textContent = label }, 1500)
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch { /* plain HTTP, or an old browser */ }
  const area = document.createElement("textarea")
  area.className = "aside"
  area.value = text
  document.body.append(area)
  area.select()
  const copied = document.execCommand("copy")
  area.remove()
  return copied
}

// tidy puts times into the reader's own zone.
function tidy() {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" })
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = format.format(new Date(time.dateTime))
  tick()
}

function tick() {
  const clock = document.querySelector("[data-countdown]")
  if (!clock) return
  const left = Math.ceil((new Date(clock.dataset.countdown) - Date.now()) / 1000)
  if (left <= 0) {
    clock.removeAttribute("data-countdown")
    clock.textContent = "0:00"
    refresh()
    return
  }
  const two = n => String(n).padStart(2, "0")
  const hours = Math.floor(left / 3600), minutes = Math.floor(left / 60) % 60, seconds = left % 60
  clock.textContent = hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`
}
