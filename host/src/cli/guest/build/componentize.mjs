// Run by `aurora guest build` in the folder that has componentize-js installed: its own command does not take a folder
// of contracts.
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, witPath, worldName, output, ...disableFeatures] = process.argv.slice(1);
try {
  const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
  await writeFile(output, component);
} catch (error) {
  console.error(error?.message ?? error);
  process.exit(1);
}
