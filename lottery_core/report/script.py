"""Where plotly.js is: the plotly package brings it along."""

from pathlib import Path

import plotly

SCRIPT = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
