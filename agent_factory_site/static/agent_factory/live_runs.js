/* The newest runs, asked for again and again while somebody looks. No dependencies. */
(function () {
    "use strict";

    const SLOWEST = 30;

    document.addEventListener("DOMContentLoaded", function () {
        const panel = document.querySelector("[data-af-live]");
        if (!panel) {
            return;
        }
        const body = panel.querySelector("tbody");
        const state = panel.querySelector("[data-af-live-state]");
        const toggle = panel.querySelector("[data-af-live-toggle]");
        const every = Number(panel.dataset.afEvery);
        const asked = new URLSearchParams(location.search);
        const query = new URLSearchParams();
        ["agent", "status"].forEach(function (name) {
            if (asked.get(name)) {
                query.set(name, asked.get(name));
            }
        });
        const url = panel.dataset.afLive + "?" + query;
        let tag = "";
        let wait = every;
        let timer = 0;
        let busy = false;
        let held = false;
        let known = null;

        function say(word, kind) {
            if (state.textContent !== word) {
                state.textContent = word;
            }
            state.className = "af-badge " + (kind || "");
        }

        function cell(tagName, content, kind, title) {
            const made = document.createElement(tagName);
            if (content instanceof Node) {
                made.append(content);
            } else {
                made.textContent = content;
            }
            made.className = kind || "";
            if (title) {
                made.title = title;
            }
            return made;
        }

        function link(href, words) {
            const made = document.createElement("a");
            made.href = href;
            made.textContent = words;
            return made;
        }

        function row(run) {
            const made = document.createElement("tr");
            const start = cell("th", link(run.url, run.started), "af-num", run.started_full);
            start.scope = "row";
            const status = document.createElement("td");
            status.append(cell("span", run.status, "af-badge " + run.badge));
            if (run.error) {
                status.append(" ", cell("span", run.error, "af-muted"));
            }
            made.append(
                start, cell("td", link(run.agent_url, run.agent)), status, cell("td", run.took, "af-right af-num"),
                cell("td", run.steps, "af-right af-num af-wide"), cell("td", run.tokens, "af-right af-num af-wide"),
                cell("td", run.cost, "af-right af-num", run.cost_exact)
            );
            if (known && !known.has(run.id)) {
                made.className = "af-new";
            }
            return made;
        }

        function draw(runs) {
            if (runs.length) {
                body.replaceChildren.apply(body, runs.map(row));
            } else {
                const none = document.createElement("tr");
                const words = cell("td", "No runs yet.", "af-muted");
                words.colSpan = 7;
                none.append(words);
                body.replaceChildren(none);
            }
            known = new Set(runs.map(function (run) { return run.id; }));
        }

        function next() {
            clearTimeout(timer);
            if (held) {
                say("held");
            } else if (document.hidden) {
                say("waiting");
            } else {
                timer = setTimeout(ask, wait * 1000);
            }
        }

        function ask() {
            if (busy) {
                return;
            }
            busy = true;
            fetch(url, { headers: { Accept: "application/json", "If-None-Match": tag }, cache: "no-store" })
                .then(function (answer) {
                    if (answer.status === 304) {
                        return null;
                    }
                    // A session that has ended answers with the sign-in page.
                    if (!answer.ok || answer.redirected) {
                        throw new Error(answer.status);
                    }
                    tag = answer.headers.get("ETag") || "";
                    return answer.json();
                })
                .then(function (found) {
                    if (found) {
                        draw(found.runs);
                    }
                    wait = every;
                    say("live", "af-badge-good");
                })
                .catch(function () {
                    wait = Math.min(wait * 2, SLOWEST);
                    say("no answer, trying again", "af-badge-warn");
                })
                .finally(function () {
                    busy = false;
                    next();
                });
        }

        function resume() {
            clearTimeout(timer);
            if (!held && !document.hidden) {
                ask();
            } else {
                next();
            }
        }

        toggle.addEventListener("click", function () {
            held = !held;
            toggle.textContent = held ? "Go on" : "Hold";
            resume();
        });
        document.addEventListener("visibilitychange", resume);
        resume();
    });
})();
