"use strict";
(() => {
  const body = document.body, warning = document.getElementById("warning"), total = Number(body.dataset.seconds);
  let until = Date.now() + total * 1000;
  const ended = () => location.replace("/pages/ended");
  document.querySelectorAll("form[method=post]").forEach(form => {
    const field = document.createElement("input");
    field.type = "hidden"; field.name = "script"; field.value = "1";
    form.append(field);
  });
  const problems = document.getElementById("problems");
  if (problems) problems.focus();
  if (warning && total) {
    setInterval(() => {
      const left = (until - Date.now()) / 1000;
      if (left <= 0) ended(); else warning.hidden = left > Number(body.dataset.warning);
    }, 1000);
    const form = warning.querySelector("form");
    form.addEventListener("submit", event => {
      event.preventDefault();
      fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "error"})
        .then(given => { if (!given.ok) return ended(); until = Date.now() + total * 1000; warning.hidden = true; document.getElementById("ends").hidden = true; }, () => form.submit());
    });
  }
  // What comes late: each part is a whole page of which the part of the patient is taken.
  const look = document.getElementById("look"), news = document.getElementById("news");
  const show = text => {
    const page = new DOMParser().parseFromString(text, "text/html"), fresh = page.getElementById("look") || page.getElementById("main");
    const old = document.getElementById("look"), focus = document.activeElement && document.activeElement.closest("[id]");
    if (!fresh || !old) return;
    fresh.id = "look";
    old.replaceWith(fresh);
    const again = focus && document.getElementById(focus.id);
    if (again) again.focus();
    const told = fresh.querySelector(".band .alarm") || fresh.querySelector("h1");
    news.textContent = told.textContent + " " + (fresh.dataset.late ? "" : news.dataset.done);
  };
  const follow = async address => {
    const given = await fetch(address, {redirect: "error"}), reader = given.body && given.body.getReader(), words = new TextDecoder();
    if (!given.ok || !reader) return;
    for (let kept = "";;) {
      const {done, value} = await reader.read();
      if (done) return;
      kept += words.decode(value, {stream: true});
      const parts = kept.split("<!--end-->");
      kept = parts.pop();
      if (parts.length) show(parts.pop());
    }
  };
  if (look && look.dataset.late) follow(look.dataset.late).catch(() => {});
  const print = document.getElementById("print");
  if (print) { print.hidden = false; print.addEventListener("click", () => window.print()); }
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
})();
