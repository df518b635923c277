-- The newest observations of the market between two moments; a competitor's price as a share of the list price.
SELECT observed_at AS at, competitor_price / nullif(products.list_price, 0) AS competitor_price_to_list,
       demand_index, supply_index
FROM data.market
JOIN data.products USING (dataset, product_id)
WHERE dataset = %(dataset)s AND observed_at >= %(since)s AND observed_at < %(until)s
ORDER BY observed_at DESC
LIMIT %(most)s
