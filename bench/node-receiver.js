// A receiver of callbacks as one would write it in Node.js: the peer of
// bench/callbacks.
//
//     node bench/node-receiver.js PORT [CERTIFICATE KEY]
//
// Needs the package "pg", and PostgreSQL's usual PG... variables.  Does for each
// callback what the extension does: checks the credentials, reads the XML (here
// by patterns, which favours it), and in one statement, which is one durable
// transaction, keeps the body and moves the order and its numbers.  Then 200.
'use strict';

const fs = require('fs');
const { Pool } = require('pg');

const [port, certificate, key] = process.argv.slice(2);
const pool = new Pool({ max: 20 });
const authorization = 'Basic ' + Buffer.from('caller:word').toString('base64');

const text = `
    WITH kept AS (
        INSERT INTO notifications (path, content_type, body, bandwidth_order_id, bandwidth_status)
        VALUES ($1, $2, $3, $4, $5)),
    o AS (
        UPDATE orders SET status = $5, message = $6, closed_at = clock_timestamp()
         WHERE bandwidth_order_id = $4 AND status = 'RECEIVED'
        RETURNING id),
    e AS (
        INSERT INTO order_events (order_id, status, source)
        SELECT id, $5, 'callback' FROM o)
    UPDATE order_numbers AS n SET status = 'COMPLETE'
      FROM o
     WHERE n.order_id = o.id AND n.telephone_number = ANY ($7)`;

function element(body, name) {
  const found = body.match(new RegExp(`<${name}>([^<]*)</${name}>`));
  return found ? found[1] : null;
}

async function receive(request, body) {
  const xml = body.toString();
  const numbers = [...xml.matchAll(/<TelephoneNumber>(\d+)<\/TelephoneNumber>/g)].map((m) => m[1]);

  await pool.query({
    name: 'receive',
    text,
    values: [request.url, request.headers['content-type'], body, element(xml, 'OrderId'),
      element(xml, 'Status'), element(xml, 'Message'), numbers],
  });
}

function handle(request, response) {
  const parts = [];

  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    if (request.headers.authorization !== authorization) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="node"' }).end();
      return;
    }
    receive(request, Buffer.concat(parts)).then(
      () => response.writeHead(200, { 'Content-Length': 0 }).end(),
      (error) => {
        console.error(error.message);
        response.writeHead(500).end();
      });
  });
}

const server = certificate
  ? require('https').createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, handle)
  : require('http').createServer(handle);

server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
