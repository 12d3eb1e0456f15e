// A certified OpenID provider with three accounts, for signin_test.go. Under /test
// it does what only a test may ask: let an account leave, be away for a while,
// count what it was asked, and sign whatever claims are posted with its own key.
import { createServer } from 'node:http';
import { generateKeyPair, exportJWK, SignJWT } from 'jose';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const accounts = {
  ada: { email: 'ada@example.com', email_verified: true, given_name: 'Ada', family_name: 'Lovelace', groups: ['staff', 'ops'] },
  bob: { email: 'bob@example.com', email_verified: false, given_name: 'Bob', groups: ['staff'] },
  eve: { email: 'eve@example.com', email_verified: true, groups: ['visitors'] },
};
const gone = new Set();
let away = false;
let asked = 0; // requests to the token endpoint, answered or not

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const client = (id) => ({
  client_id: id, token_endpoint_auth_method: 'none', application_type: 'native', id_token_signed_response_alg: 'ES256',
  redirect_uris: ['http://127.0.0.1/callback'], response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
});
const provider = new Provider(issuer, {
  clients: [client('gatehouse')],
  jwks: { keys: [{ ...await exportJWK(privateKey), kid: 'k', alg: 'ES256', use: 'sig' }] },
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  claims: { openid: ['sub', 'groups'], email: ['email', 'email_verified'], profile: ['given_name', 'family_name'] },
  conformIdTokenClaims: false, // claims in the ID token, as most providers can
  pkce: { required: () => true },
  features: { deviceFlow: { enabled: true } },
  cookies: { keys: ['test'] },
  findAccount: (_, id) => (accounts[id] && !gone.has(id) ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) } : undefined),
});

const body = async (req) => {
  let text = '';
  for await (const chunk of req) text += chunk;
  return text;
};
const control = {
  '/test/leave': async (req) => { gone.add(await body(req)); },
  '/test/away': async (req) => { away = await body(req) === 'true'; },
  '/test/asked': async () => String(asked),
  '/test/sign': async (req) => new SignJWT(JSON.parse(await body(req))).setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(privateKey),
};
const serve = provider.callback();
createServer(async (req, res) => {
  if (control[req.url]) return res.end(await control[req.url](req));
  if (req.url === '/token') asked += 1;
  if (away) return res.writeHead(503).end();
  return serve(req, res);
}).listen(port, '127.0.0.1', () => console.log('ready'));
