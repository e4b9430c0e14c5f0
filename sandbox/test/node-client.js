// What node-client.pl has Bandwidth's own client do: search, subscribe, order,
// and look at what came of it.  Prints one JSON object.
//
//     node node-client.js ADDRESS-OF-API CALLBACK-URL

'use strict';

const numbers = require('@bandwidth/numbers');
const { promisify } = require('util');

const [, , api, callback] = process.argv;
const client = new numbers.Client('9900000', 'user', 'pass', undefined, undefined,
	{ apiEndPoint: api });

// A method of the client as a function that returns a promise.
const call = (type, method, ...rest) => promisify(type[method]).call(type, client, ...rest);

// The HTTP status of the error that a call ends in.
const refusal = (promise) => promise.then(() => null, (error) => error.status);

const isPending = (error) => error.code === 5019 || error.code === '5019';

// Read an order until it has ended; how often it was pending is in "seen".
async function finished(id, seen)
{
	for (;;)
	{
		try
		{
			return await call(numbers.Order, 'get', id);
		}
		catch (error)
		{
			if (!isPending(error))
				throw error;
			seen.pending++;
		}
	}
}

async function main()
{
	const seen = { pending: 0 };

	seen.sites = (await call(numbers.Site, 'list')).map((site) => site.id);
	seen.refused = await refusal(call(numbers.AvailableNumbers, 'list', { quantity: 1 }));
	seen.found = (await call(numbers.AvailableNumbers, 'list', { areaCode: 540, quantity: 2 }))
		.telephoneNumberList.telephoneNumber;
	seen.detail = (await call(numbers.AvailableNumbers, 'list',
		{ areaCode: 919, quantity: 1, enableTNDetail: true }))
		.telephoneNumberDetailList.telephoneNumberDetail;
	seen.none = (await call(numbers.AvailableNumbers, 'list', { areaCode: 303 })).resultCount ?? 0;

	const subscription = await call(numbers.Subscription, 'create', {
		orderType: 'orders',
		callbackSubscription: {
			URL: callback,
			expiry: 3600,
			callbackCredentials: { basicAuthentication: { username: 'u', password: 'p' } }
		}
	});
	seen.subscription = subscription.id;
	seen.duplicate = await refusal(call(numbers.Subscription, 'create',
		{ orderType: 'orders', callbackSubscription: { URL: callback, expiry: 3600 } }));
	seen.subscriptions = (await call(numbers.Subscription, 'list')).map((s) => s.id);

	const created = await call(numbers.Order, 'create', {
		name: 'from node',
		customerOrderId: 'node-1',
		siteId: 743,
		partialAllowed: false,
		existingTelephoneNumberOrderType: { telephoneNumberList: { telephoneNumber: seen.found } }
	});
	seen.created = { id: created.order.id, status: created.orderStatus, name: created.order.name };
	const order = await finished(created.order.id, seen);
	seen.order = {
		status: order.orderStatus,
		numbers: order.completedNumbers.telephoneNumber.map((number) => number.fullNumber)
	};
	const list = await call(numbers.Order, 'list', { page: 1, size: 10, customerOrderId: 'node-1' });
	seen.listed = list.listOrderIdUserIdDate.orderIdUserIdDate.orderId;
	seen.badSite = await refusal(call(numbers.Order, 'create', {
		siteId: 1, areaCodeSearchAndOrderType: { areaCode: '919', quantity: 1 } }));

	await call(numbers.InServiceNumber, 'get', seen.found[0]);
	seen.tn = (await call(numbers.Tn, 'get', seen.found[0])).orderId;
	const disconnect = await call(numbers.Disconnect, 'create', 'away', [ seen.found[0] ]);
	seen.disconnect = disconnect.orderStatus;
	await promisify(subscription.delete).call(subscription);
	console.log(JSON.stringify(seen));
	client.destroy();
}

main().catch((error) => { console.error(error); process.exit(1); });
