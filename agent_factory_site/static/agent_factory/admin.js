/* Copy buttons, suggestions as one types, rows that are added to a form, previews, progress bars that follow their job. No dependencies. */
(function () {
    "use strict";

    document.addEventListener("click", function (event) {
        const button = event.target.closest("[data-af-copy]");
        if (!button) {
            return;
        }
        const source = document.querySelector(button.dataset.afCopy);
        const text = source.textContent;
        const said = function (word) {
            const before = button.textContent;
            button.textContent = word;
            setTimeout(function () { button.textContent = before; }, 1500);
        };
        const select = function () {
            const range = document.createRange();
            range.selectNodeContents(source);
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            said("Selected");
        };
        // The clipboard is there on https and localhost alone; elsewhere the text is selected for Ctrl-C.
        if (navigator.clipboard) {
            navigator.clipboard.writeText(text).then(function () { said("Copied"); }, select);
        } else {
            select();
        }
    });

    let typing = 0;
    document.addEventListener("input", function (event) {
        const field = event.target;
        if (!field.dataset || !field.dataset.afSuggest) {
            return;
        }
        clearTimeout(typing);
        typing = setTimeout(function () {
            const url = field.dataset.afSuggest + "?" + new URLSearchParams({ term: field.value });
            fetch(url, { headers: { Accept: "application/json" } })
                .then(function (answer) { return answer.ok ? answer.json() : { results: [] }; })
                .then(function (found) {
                    field.list.replaceChildren.apply(field.list, found.results.map(function (value) {
                        const option = document.createElement("option");
                        option.value = value;
                        return option;
                    }));
                });
        }, 150);
    });

    document.addEventListener("click", function (event) {
        const button = event.target.closest("[data-af-add]");
        if (!button) {
            return;
        }
        const prefix = button.dataset.afAdd;
        const total = document.getElementById("id_" + prefix + "-TOTAL_FORMS");
        const row = document.querySelector('template[data-af-row="' + prefix + '"]').content.cloneNode(true);
        row.querySelectorAll("[name], [id], [for]").forEach(function (part) {
            ["name", "id", "for"].forEach(function (name) {
                if (part.hasAttribute(name)) {
                    part.setAttribute(name, part.getAttribute(name).replace("__prefix__", total.value));
                }
            });
        });
        const first = row.querySelector("input, select");
        document.querySelector('[data-af-rows="' + prefix + '"]').append(row);
        total.value = Number(total.value) + 1;
        first.focus();
    });

    function draw(bar, job) {
        const meter = bar.querySelector("progress");
        bar.dataset.afState = job.state;
        if (job.percent !== null) {
            meter.value = job.percent;
            bar.querySelector(".af-progress-text").textContent = job.percent + " %";
        }
        bar.querySelector(".af-progress-note").textContent = job.note || "";
    }

    function follow() {
        const bars = Array.from(document.querySelectorAll('[data-af-job][data-af-finished="no"]'));
        if (!bars.length) {
            return;
        }
        const ids = bars.map(function (bar) { return bar.dataset.afJob; }).join(",");
        fetch(bars[0].dataset.afUrl + "?" + new URLSearchParams({ ids: ids }), { headers: { Accept: "application/json" } })
            .then(function (answer) { return answer.json(); })
            .then(function (found) {
                let moved = false;
                found.jobs.forEach(function (job) {
                    bars.filter(function (bar) { return bar.dataset.afJob === job.id; }).forEach(function (bar) {
                        moved = moved || job.finished || job.state !== bar.dataset.afState;
                        draw(bar, job);
                    });
                });
                if (moved) {
                    // The rest of the page tells of the job as well.
                    location.reload();
                } else {
                    setTimeout(follow, 1000);
                }
            })
            .catch(function () { setTimeout(follow, 5000); });
    }

    // What a form would come to, told by the server as one types.
    function preview(panel) {
        const form = panel.closest("form");
        const list = panel.querySelector("[data-af-preview-lines]");
        const before = Array.from(list.children);
        let waiting = 0, asked = 0;
        const ask = function () {
            const query = new URLSearchParams();
            new FormData(form).forEach(function (value, name) {
                if (name !== "csrfmiddlewaretoken" && typeof value === "string" && value.length < 500) {
                    query.append(name, value);
                }
            });
            const mine = ++asked;
            fetch(panel.dataset.afPreview + "?" + query, { headers: { Accept: "application/json" } })
                .then(function (answer) { return answer.ok ? answer.json() : { lines: [] }; })
                .then(function (found) {
                    if (mine !== asked) {
                        return;
                    }
                    panel.classList.toggle("af-preview-wrong", Boolean(found.wrong));
                    list.replaceChildren.apply(list, found.lines.length ? found.lines.map(function (line) {
                        const item = document.createElement("li");
                        item.textContent = line;
                        return item;
                    }) : before);
                });
        };
        const later = function () {
            clearTimeout(waiting);
            waiting = setTimeout(ask, 250);
        };
        form.addEventListener("input", later);
        form.addEventListener("change", later);
        ask();
    }

    document.addEventListener("DOMContentLoaded", function () {
        follow();
        document.querySelectorAll("[data-af-preview]").forEach(preview);
    });
})();
