-- Beside the platform's own database, those of Prefect and MLflow; run once, when the Postgres server is new.
CREATE DATABASE pricing_prefect;
CREATE DATABASE pricing_mlflow;
