-- Beside the platform's own database, those of Prefect and MLflow, and the login that flows run as: it owns no table, and
-- can change neither the ledger nor published prices. Run once, by the owner, when the Postgres server is new.
CREATE DATABASE pricing_prefect;
CREATE DATABASE pricing_mlflow;
\getenv worker_password PRICING_WORKER_PASSWORD
CREATE ROLE pricing_worker NOLOGIN;
CREATE ROLE pricing_flows LOGIN PASSWORD :'worker_password' IN ROLE pricing_worker;
