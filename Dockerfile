# The explorer in a container, on any machine without a GPU:
#   docker build -t lottery .
#   docker run -p 8501:8501 -v lottery:/cache lottery
# docs/hosting.md tells of names, paths and limits.
FROM python:3.12-slim

# Where PyTorch has its small builds for CPUs; pip takes one where the version is the same.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /app
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -r requirements.txt
COPY . .
# plotly.js is put where it is served from while that can still be written to.
RUN python -m compileall -q lottery_core ui pages \
    && python -c "from ui.shared.plot import provide_script; assert provide_script()" \
    && useradd --create-home lottery \
    && install -d -o lottery /cache

USER lottery
# Without an address to tell, Streamlit asks a service on the internet for one as it starts.
ENV LOTTERY_CACHE=/cache PYTHONUNBUFFERED=1 STREAMLIT_BROWSER_SERVER_ADDRESS=localhost
VOLUME /cache
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "\
import os, urllib.request; \
path = os.environ.get('STREAMLIT_SERVER_BASE_URL_PATH', '').strip('/'); \
parts = ['http://127.0.0.1:8501', path, '_stcore/health']; \
urllib.request.urlopen('/'.join(filter(None, parts)), timeout=4)"]
CMD ["python", "-m", "streamlit", "run", "app.py", \
     "--server.address", "0.0.0.0", "--server.port", "8501", "--server.headless", "true"]
