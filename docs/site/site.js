// A button that copies, at each block that a reader may want to use; what a command prints is none.
"use strict";

function select(code) {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
}

// Pages from files and from plain HTTP may not use the clipboard, but may copy what is selected.
async function copy(code) {
    if (navigator.clipboard && window.isSecureContext) {
        try {
            await navigator.clipboard.writeText(code.textContent);
            return true;
        } catch {
            // it was not allowed; the older way may be
        }
    }
    select(code);
    return document.execCommand("copy");
}

for (const code of document.querySelectorAll("pre > code")) {
    if (code.matches(".language-text, .language-output")) {
        code.parentElement.classList.add("output");
        continue;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
        button.textContent = (await copy(code)) ? "Copied" : "Selected";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.parentElement.append(button);
}
