// Keys and buttons of a view in which a label box is always at hand.

import { button, isControl, takesText, travels } from "./dom.js";

/** A handler of key presses: letters for the box, `keys` while it is empty, undo and redo by `travel(again)`. */
export function keysOf({ box, keys, travel }) {
  return (event) => {
    const { target } = event;
    if (takesText(target) && target !== box.input) return;
    const again = travels(event);
    if (again !== null && box.isEmpty()) {
      event.preventDefault();
      travel(again);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isControl(target) && [" ", "Enter"].includes(event.key)) return;
    if (box.handleKey(event)) return;
    const act = keys[event.key];
    if (act && box.isEmpty()) {
      event.preventDefault();
      act();
    } else if (event.key.length === 1 && target !== box.input) box.input.focus();
  };
}

/** A button for every action, `[text, shortcut, act]`; the box keeps the focus. */
export function showActions(root, actions, box) {
  root.replaceChildren(...actions.map(([text, shortcut, act]) => button(text, shortcut, () => {
    act();
    box.focus();
  })));
}
