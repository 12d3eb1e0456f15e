// The official Node SDKs and @ai-sdk/xai, unchanged, against a running gateway.
// The environment and the output are those of ../python/check.py.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { createXai } from '@ai-sdk/xai';
import { generateText, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { z } from 'zod';

const base = process.env.GATEWAY;
const key = (name = 'KEY') => process.env[name] ?? name;
const openai = (k) => new OpenAI({ baseURL: base + '/v1', apiKey: key(k), maxRetries: 0, timeout: 30000 });
const claude = (k) => new Anthropic({ baseURL: base, apiKey: key(k), maxRetries: 0, timeout: 30000 });
const xai = (k) => createXai({ baseURL: base + '/v1', apiKey: key(k) });
const user = (content) => [{ role: 'user', content }];
let failures = 0;

async function test(name, f) {
  try {
    await f();
    console.log('ok', name);
  } catch (e) {
    failures++;
    console.log(`FAIL ${name}: ${e?.name}: ${e?.message}`.replaceAll('\n', ' ').slice(0, 600));
  }
}

const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } };

await test('openai_chat', async () => {
  const r = await openai().chat.completions.create({ model: 'grok-4', messages: user('[[sim: words=5]] hi') });
  assert.equal(r.usage.completion_tokens, 5);
});
await test('openai_stream', async () => {
  let text = '';
  for await (const c of await openai().chat.completions.create({ model: 'gpt-4o', messages: user('[[sim: words=7]] hi'), stream: true })) {
    assert.equal(c.usage ?? null, null);
    text += c.choices[0].delta.content ?? '';
  }
  assert.equal(text.trim().split(' ').length, 7);
});
await test('openai_tools', async () => {
  const r = await openai().chat.completions.create({ model: 'gpt-4o', messages: user('[[sim: tool]] weather?'), tools: [weather] });
  assert.equal(r.choices[0].message.tool_calls[0].function.name, 'weather');
  const s = openai().chat.completions.stream({ model: 'gpt-4o', messages: user('[[sim: tool]] weather?'), tools: [weather] });
  assert.equal((await s.finalChatCompletion()).choices[0].message.tool_calls[0].function.arguments, '{"city":"Paris"}');
});
await test('openai_responses', async () => {
  const c = openai();
  const r = await c.responses.create({ model: 'gpt-4o', input: '[[sim: words=4]] hi' });
  assert.match(r.output_text, /^the quick/);
  assert.equal((await c.responses.retrieve(r.id)).id, r.id);
  let done;
  for await (const e of await c.responses.create({ model: 'gpt-4o', input: 'hi', stream: true })) if (e.type === 'response.completed') done = e;
  assert.ok(done.response.usage.output_tokens > 0);
  await c.responses.delete(r.id);
  await assert.rejects(c.responses.retrieve(r.id), OpenAI.NotFoundError);
});
await test('openai_embeddings_images_models', async () => {
  const c = openai();
  assert.equal((await c.embeddings.create({ model: 'text-embedding-3-small', input: 'a' })).data[0].embedding.length, 64);
  assert.equal((await c.images.generate({ model: 'grok-imagine-image', prompt: 'cat' })).data.length, 1);
  const ids = [];
  for await (const m of c.models.list()) ids.push(m.id);
  assert.ok(ids.includes('grok-4'));
});
await test('openai_errors', async () => {
  const hello = { model: 'grok-4', messages: user('hi') };
  await assert.rejects(openai('gthk_wrong').chat.completions.create(hello), OpenAI.BadRequestError);
  await assert.rejects(openai('KEY_IMAGE').chat.completions.create(hello), OpenAI.PermissionDeniedError);
  await assert.rejects(openai().chat.completions.create({ ...hello, model: 'no-such-model' }), OpenAI.NotFoundError);
  await openai('KEY_ONCE3').chat.completions.create(hello);
  await assert.rejects(openai('KEY_ONCE3').chat.completions.create(hello), OpenAI.RateLimitError);
  await assert.rejects(openai().chat.completions.create({ model: 'grok-4', messages: user('[[sim: status=500]]') }), OpenAI.InternalServerError);
});
await test('anthropic_messages', async () => {
  const r = await claude().messages.create({ model: 'claude-sonnet-4-5', max_tokens: 100, messages: user('[[sim: words=6]] hi') });
  assert.equal(r.usage.output_tokens, 6);
  const s = claude().messages.stream({ model: 'claude-sonnet-4-5', max_tokens: 100, messages: user('[[sim: words=6]] hi') });
  assert.equal((await s.finalMessage()).usage.output_tokens, 6);
});
await test('anthropic_tools_and_count', async () => {
  const tools = [{ name: 'weather', input_schema: { type: 'object', properties: {} } }];
  const r = await claude().messages.create({ model: 'claude-sonnet-4-5', max_tokens: 100, tools, messages: user('[[sim: tool]] weather?') });
  assert.deepEqual(r.content[0].input, { city: 'Paris' });
  assert.ok((await claude().messages.countTokens({ model: 'claude-sonnet-4-5', messages: user('one two') })).input_tokens > 0);
});
await test('anthropic_errors', async () => {
  const hello = { model: 'claude-sonnet-4-5', max_tokens: 10, messages: user('hi') };
  await assert.rejects(claude('gthk_wrong').messages.create(hello), Anthropic.AuthenticationError);
  await assert.rejects(claude('KEY_IMAGE').messages.create(hello), Anthropic.PermissionDeniedError);
  await assert.rejects(claude().messages.create({ ...hello, model: 'no-such-model' }), Anthropic.NotFoundError);
});
await test('ai_sdk_xai', async () => {
  const r = await generateText({ model: xai().chat('grok-4'), prompt: '[[sim: words=5]] hi', maxRetries: 0 });
  assert.match(r.text, /^the quick/);
  const s = streamText({ model: xai().chat('grok-4'), prompt: '[[sim: words=5]] hi', maxRetries: 0 });
  let text = '';
  for await (const part of s.textStream) text += part;
  assert.equal(text.trim().split(' ').length, 5);
});
await test('ai_sdk_xai_tools', async () => {
  const tools = { weather: tool({ description: 'd', inputSchema: z.object({ city: z.string() }) }) };
  const r = await generateText({ model: xai().chat('grok-4'), prompt: '[[sim: tool]] weather?', tools, maxRetries: 0 });
  assert.deepEqual(r.toolCalls[0].input, { city: 'Paris' });
});
await test('ai_sdk_xai_errors', async () => {
  await assert.rejects(generateText({ model: xai('gthk_wrong').chat('grok-4'), prompt: 'hi', maxRetries: 0 }), /Incorrect API key/);
  await assert.rejects(generateText({ model: xai().chat('no-such-model'), prompt: 'hi', maxRetries: 0 }), /does not exist/);
});

process.exit(failures);
