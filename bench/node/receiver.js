// Receivers of callbacks as one would write them in Node.js: the peers of
// bench/callbacks.sh.
//
//     node receiver.js plain|express PORT [CERTIFICATE KEY]
//
// Both need PostgreSQL's usual PG... variables, and do for each callback what
// the extension does: check the credentials, read the XML (here by patterns,
// which favours them), keep the body, move the order and its numbers; then 200.
// "express" is a transaction of five statements behind Express, as most would
// write it; "plain" is Node's own server and one prepared statement, which is
// about the best that can be had.
'use strict';

const fs = require('fs');
const { Pool } = require('pg');

const [kind, port, certificate, key] = process.argv.slice(2);
const pool = new Pool({ max: 20 });
const authorization = 'Basic ' + Buffer.from('caller:word').toString('base64');

function element(body, name) {
  const found = body.match(new RegExp(`<${name}>([^<]*)</${name}>`));
  return found ? found[1] : null;
}

function read(body) {
  const xml = body.toString();
  return {
    id: element(xml, 'OrderId'),
    status: element(xml, 'Status'),
    message: element(xml, 'Message'),
    numbers: [...xml.matchAll(/<TelephoneNumber>(\d+)<\/TelephoneNumber>/g)].map((m) => m[1]),
  };
}

// --- plain ---

const oneStatement = `
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

function receivePlain(request, body) {
  const c = read(body);

  return pool.query({
    name: 'receive',
    text: oneStatement,
    values: [request.url, request.headers['content-type'], body, c.id, c.status, c.message, c.numbers],
  });
}

function handlePlain(request, response) {
  const parts = [];

  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    if (request.headers.authorization !== authorization) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="node"' }).end();
      return;
    }
    receivePlain(request, Buffer.concat(parts)).then(
      () => response.writeHead(200, { 'Content-Length': 0 }).end(),
      (error) => {
        console.error(error.message);
        response.writeHead(500).end();
      });
  });
}

// --- express ---

async function receiveInSteps(client, request) {
  const c = read(request.body);

  await client.query('BEGIN');
  await client.query(
    'INSERT INTO notifications (path, content_type, body, bandwidth_order_id, bandwidth_status) VALUES ($1, $2, $3, $4, $5)',
    [request.url, request.headers['content-type'], request.body, c.id, c.status]);
  const { rows } = await client.query(
    "UPDATE orders SET status = $2, message = $3, closed_at = clock_timestamp() WHERE bandwidth_order_id = $1 AND status = 'RECEIVED' RETURNING id",
    [c.id, c.status, c.message]);
  if (rows.length > 0) {
    await client.query(
      "INSERT INTO order_events (order_id, status, source) VALUES ($1, $2, 'callback')", [rows[0].id, c.status]);
    await client.query(
      "UPDATE order_numbers SET status = 'COMPLETE' WHERE order_id = $1 AND telephone_number = ANY ($2)",
      [rows[0].id, c.numbers]);
  }
  await client.query('COMMIT');
}

async function receiveExpress(request, response) {
  const client = await pool.connect();

  try {
    await receiveInSteps(client, request);
    response.status(200).end();
  } catch (error) {
    await client.query('ROLLBACK');
    console.error(error.message);
    response.status(500).end();
  } finally {
    client.release();
  }
}

function expressApplication() {
  const express = require('express');
  const application = express();

  application.use((request, response, next) => {
    if (request.headers.authorization === authorization) {
      next();
    } else {
      response.set('WWW-Authenticate', 'Basic realm="node"').status(401).end();
    }
  });
  application.post('/bandwidth', express.raw({ type: '*/*' }), receiveExpress);
  return application;
}

const handler = kind === 'express' ? expressApplication() : handlePlain;
const server = certificate
  ? require('https').createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, handler)
  : require('http').createServer(handler);

server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
