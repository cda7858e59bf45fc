// A conversation by OpenAI's JavaScript client: its URL and key are the arguments.
import OpenAI from "openai";
import assert from "node:assert/strict";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 2 });
const { items } = client.conversations;

const made = await client.conversations.create({
  metadata: { topic: "demo" },
  items: [{ type: "message", role: "user", content: "0" }],
});
assert.deepEqual(made.metadata, { topic: "demo" });
assert.deepEqual(await client.conversations.retrieve(made.id), made);
const changed = await client.conversations.update(made.id, { metadata: { topic: "other" } });
assert.deepEqual(changed.metadata, { topic: "other" });

for (let number = 1; number < 30; number += 1) {
  const added = await items.create(made.id, { items: [{ role: "user", content: `${number}` }] });
  assert.equal(added.data.length, 1);
}
const listed = [];
for await (const item of items.list(made.id, { order: "asc", limit: 7 })) listed.push(item);
assert.deepEqual(listed.map((item) => Number(item.content[0].text)), [...Array(30).keys()]);

const one = await items.retrieve(listed[3].id, { conversation_id: made.id });
assert.deepEqual(one, listed[3]);
await items.delete(listed[3].id, { conversation_id: made.id });
await assert.rejects(items.retrieve(listed[3].id, { conversation_id: made.id }), OpenAI.NotFoundError);

const deleted = await client.conversations.delete(made.id);
assert.deepEqual(deleted, { id: made.id, object: "conversation.deleted", deleted: true });
await assert.rejects(client.conversations.retrieve(made.id), OpenAI.NotFoundError);
await assert.rejects(
  new OpenAI({ baseURL, apiKey: "nobody" }).conversations.create(),
  OpenAI.AuthenticationError,
);
console.log("done");
