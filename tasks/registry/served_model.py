"""The demand model as MLflow serves it: a table of requests in, prices under its policy out.

MLflow keeps this file beside the weights and runs it to load a version; nothing is pickled. Features are
read from the platform's database, so a request needs ids and a time only.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from psycopg2.extensions import connection as Connection

import sql
from tasks.database import database_url, read_rows, transaction
from tasks.quotes.requests import Terms, conforming_requests, live_terms, price_requests
from tasks.registry.model_store import load_demand, load_policy
from tasks.settings import Settings


class DemandPricer(PythonModel):  # type: ignore[misc]
    """Prices requests as the platform itself does."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model's files."""
        folder = Path(context.artifacts["demand"])
        self.demand, self.policy = load_demand(folder), load_policy(folder)
        self.registered = context.model_config

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row a request: price, uniform_price, purchase_probability, elasticity, lower, upper, reasons."""
        rows = conforming_requests(model_input, "the request")
        with transaction(database_url(Settings())) as connection:
            return price_requests(connection, rows, "the request", self._terms(connection))

    def _terms(self, connection: Connection) -> Terms:
        """Those of the live book while it is this model's, else those it was registered with."""
        live = read_rows(connection, sql.query("live_terms_of_run"), {"run_id": self.registered["run_id"]})
        if live:
            return live_terms(self.demand, live[0])
        return Terms(self.demand, self.policy, self.registered["dataset"], self.registered["currency"])


set_model(DemandPricer())
