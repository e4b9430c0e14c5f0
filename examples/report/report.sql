-- Numbers bought per day, role and site.  Run it as a superuser.

-- Each role sees its own orders only; a view has the eyes of its owner.
CREATE VIEW numbers_bought AS
SELECT (o.closed_at AT TIME ZONE 'America/New_York')::date AS day,
       o.ordered_by,
       o.account_id,
       o.site_id,
       count(*) AS numbers,
       count(DISTINCT o.id) AS orders
  FROM bw_orders AS o
  JOIN bw_order_numbers AS n ON n.order_id = o.id
 WHERE n.status = 'COMPLETE'
   AND o.kind = 'order'
   AND o.closed_at IS NOT NULL
 GROUP BY day, o.ordered_by, o.account_id, o.site_id;
COMMENT ON VIEW numbers_bought IS 'telephone numbers bought, per day in New York, role, account and site';

CREATE ROLE bookkeeper;
GRANT SELECT ON numbers_bought TO bookkeeper;

SET ROLE bookkeeper;
SELECT day, ordered_by, site_id, numbers
  FROM numbers_bought
 WHERE day >= current_date - 31
 ORDER BY day DESC, ordered_by, site_id;

-- The same with sums: of each day, and of it all.
SELECT COALESCE(day::text, 'in all') AS day, ordered_by, site_id, sum(numbers) AS numbers
  FROM numbers_bought
 WHERE day >= current_date - 31
 GROUP BY ROLLUP (numbers_bought.day, (ordered_by, site_id))
 ORDER BY numbers_bought.day DESC NULLS LAST, ordered_by, site_id;
RESET ROLE;
