-- The newest time that the source itself gave. What a storefront recorded runs ahead of it, and must not hide its late
-- rows.
SELECT max(offered_at) AS newest
FROM data.offers
WHERE dataset = %(dataset)s
  AND NOT EXISTS (SELECT FROM pricing.outcomes WHERE quote_id::text = offers.offer_id)
