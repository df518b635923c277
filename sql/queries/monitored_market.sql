-- Observations of the market between two moments; a competitor's price as a share of the list price. Of many, every so
-- many-th by product and time: few products would make whole ones too coarse a share.
SELECT competitor_price / nullif(products.list_price, 0) AS competitor_price_to_list, demand_index, supply_index
FROM data.market
JOIN data.products USING (dataset, product_id)
WHERE dataset = %(dataset)s AND observed_at >= %(since)s AND observed_at < %(until)s
  AND (hashtext(product_id || observed_at::text) & 2147483647) %% %(every)s = 0
