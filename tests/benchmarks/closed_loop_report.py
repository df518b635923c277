from pathlib import Path
import pandas as pd
def write_report(cycles: pd.DataFrame, folder: Path) -> None:
    pass
