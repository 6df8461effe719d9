// Files from choosers and drops; folders with all that is in them.

const NO_RADIOGRAPHS = /^(\.|DICOMDIR$|Thumbs\.db$|desktop\.ini$)/i;

const isCandidate = ({ file }) => !NO_RADIOGRAPHS.test(file.name);
const inOrder = (files) => files.filter(isCandidate).sort((a, b) => a.path.localeCompare(b.path, "en", { numeric: true }));

/** Of an input element, with the path inside the chosen folder. */
export const ofInput = (input) =>
  inOrder([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));

/** Of a drop. Asked for at once: the browser empties the transfer when the event is over. */
export async function ofDrop(transfer) {
  const found = [];
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const dropped = items.map((item) => ({ folder: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  for (const { folder, file } of dropped) {
    if (folder?.isDirectory) await collect(folder, found);
    else if (file) found.push({ file, path: file.name });
  }
  return inOrder(found);
}

async function collect(folder, found) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return;
    for (const one of some) {
      if (one.isDirectory) await collect(one, found);
      else found.push({ file: await new Promise((resolve, reject) => one.file(resolve, reject)), path: one.fullPath.slice(1) });
    }
  }
}
