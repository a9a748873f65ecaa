"use strict";
(() => {
  const body = document.body, warning = document.getElementById("warning");
  let total = Number(body.dataset.seconds), until = Date.now() + total * 1000;
  const post = form => fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "error"});
  if (warning && total) {
    setInterval(() => {
      const left = (until - Date.now()) / 1000;
      if (left <= 0) location.replace("/pages/ended");
      else warning.hidden = left > Number(body.dataset.warning);
    }, 1000);
    const form = warning.querySelector("form");
    form.addEventListener("submit", event => {
      event.preventDefault();
      post(form).then(given => { if (given.ok) { until = Date.now() + total * 1000; warning.hidden = true; } else location.replace("/pages/ended"); })
        .catch(() => form.submit());
    });
  }
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
})();
