// Start is the first thing that Tab reaches, and on a phone pressing it closes the choices.
const NARROW = 768; // pixels, up to which Streamlit lays its sidebar over the page
const STARTS = [".st-key-start", ".st-key-start_in_choices", ".st-key-new_seed"];
const TARGET = "start-or-stop";

const skip = (event) => {
  event.preventDefault(); // the address is the page's own
  document.querySelector(`#${TARGET} .stButton button:enabled`)?.focus();
};

const closeChoices = (event) => {
  if (window.innerWidth > NARROW) return;
  if (!STARTS.some((start) => event.target.closest?.(`${start} button:enabled`))) return;
  // Once Streamlit has heard of the press.
  setTimeout(() => {
    document.querySelector("[data-testid=stSidebar][data-collapsed=false] [data-testid=stSidebarCollapseButton] button")?.click();
  });
};

export default function ({ parentElement }) {
  // Other runs of the page leave it where it is.
  let link = document.querySelector(".lottery-skip");
  if (!link) {
    link = document.createElement("a");
    link.className = "lottery-skip";
    link.href = `#${TARGET}`;
    link.textContent = "To the Start button";
    document.body.prepend(link);
  }
  link.onclick = skip;
  const now = document.querySelector(".st-key-now");
  if (now) now.id = TARGET;
  document.addEventListener("click", closeChoices, true);
  return () => {
    document.removeEventListener("click", closeChoices, true);
    link.remove();
  };
}
