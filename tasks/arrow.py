"""From pandas to Arrow."""

import pandas as pd
import pyarrow as pa


def arrow_array(values: pd.Series) -> pa.Array | pa.ChunkedArray:
    """A column as Arrow, empty values as null.

    Aware times go by way of their UTC values: Arrow would ask pandas for values without zone, which pandas 3
    deprecates.
    """
    if not isinstance(values.dtype, pd.DatetimeTZDtype):
        return pa.array(values, from_pandas=True)
    naive = pa.array(values.dt.tz_convert(None).to_numpy(), from_pandas=True)
    return naive.cast(pa.timestamp(naive.type.unit, tz="UTC"))
