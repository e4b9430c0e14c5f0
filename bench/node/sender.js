// A queue table and a process that sends what is in it: the peer of
// bench/drain.sh and bench/commit-to-wire.sh.
//
//     node sender.js URL
//
// Needs PostgreSQL's usual PG... variables.  The plpgsql side (bench/queue.sql)
// notifies of each order.  As the extension does, it commits that an order is
// being sent before its POST, has at most 16 calls under way, and commits the
// reply.  It knows no rate limits, and nothing of an order whose reply was lost.
'use strict';

const http = require('http');
const { Client, Pool } = require('pg');

const SOCKETS = 16;
const url = new URL(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: SOCKETS });
const pool = new Pool({ max: SOCKETS });

const claim = `
    UPDATE queue SET state = 'sending', sent_at = clock_timestamp()
     WHERE order_id IN (SELECT order_id FROM queue WHERE state = 'new'
                         ORDER BY order_id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING order_id, telephone_number, name, customer_order_id`;
const record = `
    WITH q AS (DELETE FROM queue WHERE order_id = $1)
    UPDATE orders SET status = 'RECEIVED', bandwidth_order_id = $2, received_at = clock_timestamp()
     WHERE id = $1`;

function body(order) {
  return '<?xml version="1.0" encoding="UTF-8"?>\n<Order><Name>' + order.name +
    '</Name><SiteId>743</SiteId><CustomerOrderId>' + order.customer_order_id +
    '</CustomerOrderId><PartialAllowed>false</PartialAllowed><BackOrderRequested>false</BackOrderRequested>' +
    '<ExistingTelephoneNumberOrderType><TelephoneNumberList><TelephoneNumber>' + order.telephone_number +
    '</TelephoneNumber></TelephoneNumberList></ExistingTelephoneNumberOrderType></Order>';
}

function post(order) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method: 'POST',
      agent,
      headers: { Authorization: 'Bearer token', 'Content-Type': 'application/xml' },
    }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.headers.location));
    });

    request.on('error', reject);
    request.end(body(order));
  });
}

let free = SOCKETS;
let claiming = false;
let again = false;

async function send(order) {
  try {
    const location = await post(order);

    await pool.query({ name: 'record', text: record, values: [order.order_id, location] });
  } catch (error) {
    console.error(error.message);
  }
  free++;
  pump();
}

// One claim at a time, and another one if there was news meanwhile.
async function pump() {
  again = true;
  if (claiming) {
    return;
  }
  claiming = true;
  while (again && free > 0) {
    again = false;
    const { rows } = await pool.query({ name: 'claim', text: claim, values: [free] });

    free -= rows.length;
    rows.forEach(send);
  }
  claiming = false;
}

async function main() {
  const listener = new Client();

  await listener.connect();
  listener.on('notification', pump);
  await listener.query('LISTEN queue');
  console.log('listening');
  pump();
}

main();
