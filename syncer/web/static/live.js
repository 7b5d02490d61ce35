// "/" goes to the search field. On the log of changes, what is new is announced and nothing that is being read moves.
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const field = document.querySelector("input[type=search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
});
const place = document.querySelector("[data-live]");
if (place && !location.search && "EventSource" in window) {
  let count = 0;
  const news = new EventSource("/events");
  news.addEventListener("change", () => {
    count += 1;
    place.hidden = false;
    place.className = "note";
    place.setAttribute("role", "status");
    place.innerHTML = "<a href='/changes'></a>";
    place.firstChild.textContent = `${count} new change${count === 1 ? "" : "s"}: show`;
  });
  addEventListener("pagehide", () => news.close());
}
