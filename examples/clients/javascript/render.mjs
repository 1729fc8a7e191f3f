// Render over gRPC, step by step: node render.mjs [OUT.png]
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const server = process.env.MAQUETTE_SERVER ?? "127.0.0.1:8033";
const key = process.env.MAQUETTE_API_KEY;
const out = process.argv[2] ?? "render.png";
const root = fileURLToPath(new URL("../../..", import.meta.url));

// Without defaults, the loader leaves out a field that is 0: step 0, which ends the wait in the queue.
const options = { includeDirs: [root], keepCase: true, defaults: true };
const definition = loadSync("maquette/v1/maquette.proto", options);
const { MaquetteService } = grpc.loadPackageDefinition(definition).maquette.v1;
const client = new MaquetteService(server, grpc.credentials.createInsecure(), {
  "grpc.max_receive_message_length": 128 * 1024 * 1024,
});

const metadata = new grpc.Metadata();
if (key) metadata.set("authorization", `Bearer ${key}`);

const events = client.RenderStream(
  {
    sketch: readFileSync(`${root}/examples/sketches/town-house.png`),
    prompt: "futuristic neon city at night",
    num_inference_steps: 8,
  },
  metadata,
);

try {
  for await (const { progress, result } of events) {
    if (progress) process.stderr.write(`step ${progress.step} of ${progress.steps}\n`);
    if (!result) continue;
    const [image] = result.images;
    writeFileSync(out, image.png);
    console.log(`${out} in the style ${result.style.id}, seed ${image.seed}`);
  }
} catch (error) {
  console.error(error.details ?? error.message);
  process.exitCode = 1;
} finally {
  client.close();
}
