// Reads {schema, text, hover: [offset], complete: [offset]} from stdin, and prints what VS Code's language service says.
const { getLanguageService, TextDocument } = require("vscode-json-languageservice");

async function main() {
  const request = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const service = getLanguageService({ schemaRequestService: () => Promise.reject("no schema is fetched") });
  service.configure({ schemas: [{ uri: request.schema.$id, fileMatch: ["*.conflist"], schema: request.schema }] });
  const document = TextDocument.create("file:///net.d/10-lab.conflist", "json", 1, request.text);
  const parsed = service.parseJSONDocument(document);
  const at = (offset) => document.positionAt(offset);
  const hovers = [];
  for (const offset of request.hover) {
    const found = await service.doHover(document, at(offset), parsed);
    hovers.push(found ? [].concat(found.contents).map((part) => part.value ?? part).join("\n") : "");
  }
  const completions = [];
  for (const offset of request.complete) {
    const found = await service.doComplete(document, at(offset), parsed);
    completions.push(found.items.map((item) => item.label));
  }
  const problems = await service.doValidation(document, parsed, {}, request.schema);
  const errors = problems.map((found) => ({ line: found.range.start.line + 1, message: found.message }));
  process.stdout.write(JSON.stringify({ hovers, completions, errors }));
}

main();
