-- What a product's image is, without reading it: vectors of images are kept by this hash.
ALTER TABLE data.products ADD COLUMN image_sha256 bytea GENERATED ALWAYS AS (sha256(image)) STORED;
